// What waits for what: drawn in layers with the critical path marked, and as a table.
import { html, useState, useEffect, useMemo, useRef, useCallback } from './vendor/preact.js';
import { navigate, toHash } from './client.js';
import { useRpc, useStore } from './store.js';
import { Empty, ErrorBox, Loading, StateBadge, Tabs, TaskLink } from './ui.js';
import { plural } from './words.js';
import { Scroll, visible } from './lines.js';

// More than this takes a second to lay out, and nobody can read it: the table has them all.
const MOST_DRAWN = 250;
const MOST_EDGES = 1200;
const WIDTH = 210;
const HEIGHT = 52;
const ZOOM = 1.25;
const KINDS = { blocks: 'after', 'waits-for': 'waits for children of', 'conditional-blocks': 'only if it fails:', 'parent-child': 'part of', related: 'related to', 'discovered-from': 'found at' };

const shorten = (words, length) => (words.length > length ? `${words.slice(0, length - 1)}…` : words);

function Node({ task, at, isFocus }) {
  const words = visible(task.title, 300);
  const name = `${task.id}, ${task.shown}, ${words}${task.is_critical ? ', on the critical path' : ''}`;
  return html`<a href=${toHash('task', task.id)} class=${`graph-node state-${task.shown}${task.is_critical ? ' is-critical' : ''}${isFocus ? ' is-focus' : ''}`}>
    <g transform=${`translate(${at.x - WIDTH / 2} ${at.y - HEIGHT / 2})`}>
      <rect width=${WIDTH} height=${HEIGHT} rx="6"><title>${name}</title></rect>
      <text x="10" y="20" class="graph-id">${task.is_critical ? '★ ' : ''}${shorten(task.id, 15)} · ${task.shown}</text>
      <text x="10" y="39">${shorten(words, 26)}</text>
    </g>
  </a>`;
}

/** A view box that keys, wheel and fingers move. */
function useView(drawing, box) {
  const whole = useCallback(() => {
    const node = box.current;
    // Not smaller than can be read: the rest is a matter of moving.
    const width = node ? node.clientWidth : 800;
    const height = node ? node.clientHeight : 500;
    const scale = Math.min(1.6, Math.max(width < 600 ? 1 : 1.3, 0), Math.max(drawing.width / width, drawing.height / height, 0.8));
    return { x: 0, y: Math.min(0, (drawing.height - height * scale) / 2), scale };
  }, [drawing]);
  const [view, setView] = useState({ x: 0, y: 0, scale: 1 });
  useEffect(() => setView(whole()), [whole]);
  const zoom = useCallback((factor, px, py) => setView((old) => {
    const scale = Math.min(12, Math.max(0.3, old.scale / factor));
    const node = box.current;
    const atX = px === undefined ? node.clientWidth / 2 : px;
    const atY = py === undefined ? node.clientHeight / 2 : py;
    return { scale, x: old.x + atX * (old.scale - scale), y: old.y + atY * (old.scale - scale) };
  }), []);
  const pan = useCallback((dx, dy) => setView((old) => ({ ...old, x: old.x + dx * old.scale, y: old.y + dy * old.scale })), []);
  const fit = useCallback(() => setView(() => {
    const node = box.current;
    const scale = Math.max(drawing.width / node.clientWidth, drawing.height / node.clientHeight, 0.5);
    return { x: (drawing.width - node.clientWidth * scale) / 2, y: (drawing.height - node.clientHeight * scale) / 2, scale };
  }), [drawing]);
  return { view, setView, zoom, pan, fit, reset: () => setView(whole()) };
}

function usePointers(box, { zoom, pan }) {
  useEffect(() => {
    const node = box.current;
    const held = new Map();
    let moved = 0;
    const down = (event) => { if (event.button === 0) { held.set(event.pointerId, event); moved = 0; } };
    const move = (event) => {
      const before = held.get(event.pointerId);
      if (!before) return;
      if (held.size === 1) {
        moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
        // Captured only when it is a drag: a captured click does not reach the link below.
        if (moved > 4 && !node.hasPointerCapture(event.pointerId)) node.setPointerCapture(event.pointerId);
        pan(before.clientX - event.clientX, before.clientY - event.clientY);
      } else {
        const other = [...held.values()].find((one) => one.pointerId !== event.pointerId);
        const was = Math.hypot(before.clientX - other.clientX, before.clientY - other.clientY);
        const is = Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY);
        const frame = node.getBoundingClientRect();
        moved += 10;
        if (was > 0) zoom(is / was, (event.clientX + other.clientX) / 2 - frame.left, (event.clientY + other.clientY) / 2 - frame.top);
      }
      held.set(event.pointerId, event);
    };
    const up = (event) => held.delete(event.pointerId);
    // A drag that ends on a task is no click on it.
    const click = (event) => { if (moved > 4) { event.preventDefault(); event.stopPropagation(); } };
    // A wheel alone scrolls the page.
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const frame = node.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 400), event.clientX - frame.left, event.clientY - frame.top);
    };
    const noDrag = (event) => event.preventDefault();
    const listeners = [['pointerdown', down], ['pointermove', move], ['pointerup', up], ['pointercancel', up], ['dragstart', noDrag]];
    listeners.forEach(([name, listener]) => node.addEventListener(name, listener));
    node.addEventListener('click', click, true);
    node.addEventListener('wheel', wheel, { passive: false });
    return () => {
      listeners.forEach(([name, listener]) => node.removeEventListener(name, listener));
      node.removeEventListener('click', click, true);
      node.removeEventListener('wheel', wheel);
    };
  }, [zoom, pan]);
}

const EMPTY = { nodes: new Map(), edges: [], width: WIDTH, height: HEIGHT };

/** The drawing of a graph, laid out beside the page's own thread; what was there stays until the next is done. */
function useDrawing(graph) {
  const [drawing, setDrawing] = useState(null);
  const ids = graph.tasks.map((task) => task.id);
  const edges = graph.edges.slice(0, MOST_EDGES);
  // A task that only changed its state is drawn where it was.
  const shape = `${ids.join(' ')}|${edges.map((edge) => `${edge.task_id}>${edge.other_id}`).join(' ')}`;
  useEffect(() => {
    const worker = new Worker(new URL('./graphworker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }) => { setDrawing({ ...data, nodes: new Map(data.nodes) }); worker.terminate(); };
    worker.onerror = (event) => { event.preventDefault(); setDrawing({ ...EMPTY, problem: event.message || 'its layout could not be made' }); };
    worker.postMessage({ ids, edges, width: WIDTH, height: HEIGHT });
    return () => worker.terminate();
  }, [shape]);
  return drawing;
}

function Drawing({ graph, focus }) {
  const drawing = useDrawing(graph);
  if (!drawing) return html`<${Loading} what="the drawing" />`;
  if (drawing.problem) return html`<p class="card">The graph cannot be drawn: ${drawing.problem}. The table has the same.</p>`;
  return html`<${Canvas} graph=${graph} focus=${focus} drawing=${drawing} />`;
}

function Canvas({ graph, focus, drawing }) {
  const box = useRef(null);
  const { view, zoom, pan, fit, reset } = useView(drawing, box);
  usePointers(box, { zoom, pan });
  const critical = useMemo(() => new Set(graph.critical_path.slice(1).map((id, index) => `${graph.critical_path[index]} ${id}`)), [graph]);
  const [size, setSize] = useState({ width: 800, height: 500 });
  useEffect(() => {
    const measure = () => setSize({ width: box.current.clientWidth, height: box.current.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const onKeyDown = (event) => {
    const acts = { '+': () => zoom(ZOOM), '=': () => zoom(ZOOM), '-': () => zoom(1 / ZOOM), 0: fit, ArrowLeft: () => pan(-60, 0), ArrowRight: () => pan(60, 0), ArrowUp: () => pan(0, -60), ArrowDown: () => pan(0, 60) };
    if (event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  };
  // A task that is reached by the keyboard is brought into sight.
  const onFocus = (event) => {
    const link = event.target.closest('a');
    if (!link) return;
    const frame = box.current.getBoundingClientRect();
    const at = link.getBoundingClientRect();
    const dx = at.left < frame.left ? at.left - frame.left - 20 : Math.max(0, at.right - frame.right + 20);
    const dy = at.top < frame.top ? at.top - frame.top - 20 : Math.max(0, at.bottom - frame.bottom + 20);
    box.current.scrollTo(0, 0);
    if (dx || dy) pan(dx, dy);
  };
  return html`<section aria-label="Drawing of the graph">
    <div class="bar">
      <button type="button" onClick=${() => zoom(ZOOM)}>Larger</button>
      <button type="button" onClick=${() => zoom(1 / ZOOM)}>Smaller</button>
      <button type="button" onClick=${fit}>All of it</button>
      <button type="button" onClick=${reset}>Beginning</button>
      <span class="hint">Drag to move. Keys: arrows, + − 0. ★ and a thick frame: on the critical path.</span>
    </div>
    <div ref=${box} class="graph-box" tabindex="0" role="group" aria-label="Graph: arrows move it, plus and minus change its size. The table has the same." onKeyDown=${onKeyDown} onFocusIn=${onFocus}>
      <svg width="100%" height="100%" viewBox=${`${view.x} ${view.y} ${size.width * view.scale} ${size.height * view.scale}`} preserveAspectRatio="xMinYMin slice">
        <defs>
          <marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L10 5L0 10z"></path></marker>
        </defs>
        <g aria-hidden="true">${drawing.edges.map(({ edge, path }) => html`<path d=${path} marker-end="url(#arrow)" class=${`graph-edge kind-${edge.kind}${edge.is_open ? '' : ' is-done'}${critical.has(`${edge.other_id} ${edge.task_id}`) ? ' is-critical' : ''}`}></path>`)}</g>
        ${graph.tasks.filter((task) => drawing.nodes.has(task.id)).map((task) => html`<${Node} key=${task.id} task=${task} at=${drawing.nodes.get(task.id)} isFocus=${task.id === focus} />`)}
      </svg>
    </div>
  </section>`;
}

function Table({ graph }) {
  const waits = useMemo(() => {
    const found = new Map();
    for (const edge of graph.edges) {
      if (!found.has(edge.task_id)) found.set(edge.task_id, []);
      found.get(edge.task_id).push(edge);
    }
    return found;
  }, [graph]);
  return html`<${Scroll} className="scroll card" label="Tasks by layer"><table>
    <caption>Tasks by layer: those of one layer can run side by side</caption>
    <thead><tr><th scope="col">Layer</th><th scope="col">Task</th><th scope="col">State</th><th scope="col">Critical path</th><th scope="col">Has to do with</th></tr></thead>
    <tbody>${graph.tasks.map((task) => html`<tr key=${task.id}>
      <td class="number">${task.layer}</td><th scope="row" class="wrap"><${TaskLink} id=${task.id} title=${visible(task.title, 300)} /></th>
      <td><${StateBadge} state=${task.shown} /></td><td>${task.is_critical ? '★ yes' : ''}</td>
      <td class="wrap">${(waits.get(task.id) || []).slice(0, 20).map((edge) => html`<span class="graph-wait">${KINDS[edge.kind] || edge.kind} <a href=${toHash('task', edge.other_id)}>${edge.other_id}</a>${edge.is_open ? ' (in the way)' : ''}</span> `)}
        ${(waits.get(task.id) || []).length > 20 ? `and ${waits.get(task.id).length - 20} more` : ''}</td></tr>`)}</tbody>
  </table><//>`;
}

export function GraphPage({ id = '' }) {
  const [tab, setTab] = useState('drawing');
  const [limit, setLimit] = useState(200);
  const [project, setProject] = useState('');
  const projects = useStore((state) => state.projects);
  const { result, error, refresh } = useRpc('task.graph', { id, project_id: project, limit }, { refreshOn: ['task.'] });
  const isDrawn = result && result.tasks.length <= MOST_DRAWN;
  return html`<div class="page graph">
    <h1>${id ? `What ${id} has to do with` : 'What waits for what'}</h1>
    <div class="bar">
      <${Tabs} tabs=${[['drawing', 'Drawing'], ['table', 'Table']]} chosen=${tab} onChoose=${setTab} />
      ${!id && html`<label>Project <select value=${project} onChange=${(event) => setProject(event.target.value)}><option value="">all</option>
        ${[...(projects ? projects.values() : [])].map((one) => html`<option value=${one.id}>${one.id}</option>`)}</select></label>`}
      <label>At most <select value=${limit} onChange=${(event) => setLimit(Number(event.target.value))}>${[50, 200, 1000, 2000].map((count) => html`<option value=${count}>${count} tasks</option>`)}</select></label>
      ${id && html`<button type="button" onClick=${() => navigate('#/graph')}>The whole graph</button>`}
    </div>
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    ${!result && !error && html`<${Loading} what="the graph" />`}
    ${result && result.tasks.length === 0 && html`<${Empty}>No task that has not ended has to do with another.<//>`}
    ${result && result.tasks.length > 0 && html`
      <p role="status">${plural(result.tasks.length, 'task')}, ${plural(result.edges.length, 'edge')}.
        ${result.critical_path.length > 0 && html` The critical path, ${plural(result.critical_path.length, 'task')}: ${result.critical_path.slice(0, 12).map((one, index) => html`${index ? ' → ' : ''}<a href=${toHash('task', one)}>${one}</a>`)}${result.critical_path.length > 12 ? ' → …' : ''}`}
        ${result.note && html` <span class="hint">${result.note}</span>`}</p>
      ${tab === 'drawing' && !isDrawn && html`<p class="card">So many tasks cannot be read in a drawing: it shows at most ${MOST_DRAWN}. Choose fewer, or a task whose neighbours it shall show. This is the table.</p>`}
      ${tab === 'drawing' && isDrawn && result.edges.length > MOST_EDGES && html`<p class="hint">The first ${MOST_EDGES} edges are drawn; the table has all.</p>`}
      ${tab === 'drawing' && isDrawn ? html`<${Drawing} graph=${result} focus=${id} />` : html`<${Table} graph=${result} />`}`}
  </div>`;
}
