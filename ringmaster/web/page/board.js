// All tasks by how they stand, with what is in the way of those that wait; and a form for a new one.
import { html, useCallback, useEffect, useMemo, useRef, useState } from './vendor/preact.js';
import { mutate, rpcBatch } from './client.js';
import { getState, useEvents, useStore, useTasks } from './store.js';
import { ActionButton, Command, Empty, ErrorBox, Loading, StateBadge, TaskLink, WindowedList, openDialog, toast } from './ui.js';
import { visible } from './lines.js';
import { formatCount, plural } from './words.js';

const ROW_PX = 100;
const WHY_AT_ONCE = 40;
const REST_MS = 100;

const COLUMNS = [
  { id: 'waiting', words: 'Waiting', states: ['draft', 'scheduled', 'blocked', 'waiting', 'held', 'poisoned'], isWhy: true },
  { id: 'ready', words: 'Ready', states: ['ready'], isWhy: true },
  { id: 'running', words: 'At work', states: ['running'] },
  { id: 'checking', words: 'Gate and landing', states: ['validating', 'landing'] },
  { id: 'failed', words: 'Failed', states: ['failed'], isNewestFirst: true },
  { id: 'ended', words: 'Done', states: ['done', 'cancelled'], isNewestFirst: true },
];
const COLUMN_OF = new Map(COLUMNS.flatMap(({ id, states }) => states.map((state) => [state, id])));

const byOrder = (one, other) => one.task.priority - other.task.priority || one.task.rank - other.task.rank || one.seq - other.seq;
const byEnd = (one, other) => other.task.updated_at - one.task.updated_at;

function isWanted({ task }, { text, project, label }) {
  if (project && task.project_id !== project) return false;
  if (label && !task.labels.includes(label)) return false;
  return !text || `${task.id} ${task.title}`.toLowerCase().includes(text);
}

/** Tasks that are wanted, by column, each in its order. */
function sortOut(tasks, wanted) {
  const columns = new Map(COLUMNS.map(({ id }) => [id, []]));
  for (const view of tasks.values()) {
    if (isWanted(view, wanted)) columns.get(COLUMN_OF.get(view.shown) || 'waiting').push(view);
  }
  for (const { id, isNewestFirst } of COLUMNS) columns.get(id).sort(isNewestFirst ? byEnd : byOrder);
  return columns;
}

/** Why the tasks that are in sight are not worked on: asked for once each, and again after their events. */
function useWhys() {
  const [whys, setWhys] = useState(() => new Map());
  const asked = useRef(new Map());
  const ask = useCallback(async (views) => {
    const fresh = views.filter(({ task }) => asked.current.get(task.id) !== task.version).slice(0, WHY_AT_ONCE);
    if (!fresh.length) return;
    for (const { task } of fresh) asked.current.set(task.id, task.version);
    try {
      const found = await rpcBatch(fresh.map(({ task }) => ['task.why', { id: task.id, limit: 1 }]));
      setWhys((before) => {
        const next = new Map(before);
        fresh.forEach(({ task }, index) => { if (!(found[index] instanceof Error)) next.set(task.id, found[index].first); });
        return next;
      });
    } catch {
      // The frame says that the daemon cannot be reached; a later look asks again.
      for (const { task } of fresh) asked.current.delete(task.id);
    }
  }, []);
  // What is in one task's way often ends with another's event.
  useEvents(['task.done', 'task.failed', 'task.unblocked', 'decision.', 'project.', 'queue.', 'worker.'], () => asked.current.clear());
  return [whys, ask];
}

function Card({ view, why }) {
  const { task } = view;
  return html`<div class="task-card">
    <div class="row tight"><${StateBadge} state=${view.shown} /><span class="muted">P${task.priority}</span><span class="muted grow cut">${task.project_id}</span>
      ${view.is_asking && html`<span class="asks" title="A person is asked about it">? asks</span>`}${view.is_parked && html`<span class="muted">parked</span>`}</div>
    <div class="title"><${TaskLink} id=${task.id} title=${visible(task.title, 200)} /></div>
    <div class="cut muted why" title=${why || ''}>${why ? visible(why, 300) : task.labels.join(' ')}</div>
  </div>`;
}

function Column({ column, views, whys, ask }) {
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  // Of what is only scrolled past nobody wants to know why.
  const seen = (first, last) => {
    if (!column.isWhy) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => ask(views.slice(first, last)), REST_MS);
  };
  return html`<section class="column" aria-labelledby=${`column-${column.id}`}>
    <h2 id=${`column-${column.id}`}>${column.words} <span class="muted">${formatCount(views.length)}</span></h2>
    ${views.length ? html`<${WindowedList} items=${views} rowHeight=${ROW_PX} keyOf=${(view) => view.task.id} label=${`${column.words}: ${plural(views.length, 'task')}`}
      onVisible=${seen} renderRow=${(view) => html`<${Card} view=${view} why=${whys.get(view.task.id)} />`} />` : html`<${Empty}>none<//>`}
  </section>`;
}

function AddTask({ projects, project, close }) {
  const [values, setValues] = useState({
    title: '', project_id: project || (projects.length === 1 ? projects[0].id : ''), description: '', priority: '2', labels: '', after: '',
  });
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const set = (name) => (event) => setValues({ ...values, [name]: event.target.value });
  const words = (text) => text.split(/[\s,]+/).filter(Boolean);
  const add = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    try {
      close(await mutate('task.add', {
        title: values.title.trim(), project_id: values.project_id, description: values.description,
        priority: Number(values.priority), labels: words(values.labels), after: words(values.after),
      }));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<form onSubmit=${add}>
    <h2>A new task</h2>
    ${problem && html`<${ErrorBox} error=${problem} />`}
    <label class="field"><span>Title</span><input type="text" required data-first value=${values.title} onInput=${set('title')} /></label>
    <label class="field"><span>Project</span><select required value=${values.project_id} onChange=${set('project_id')}>
      ${projects.length !== 1 && html`<option value="">choose one</option>`}${projects.map(({ id }) => html`<option key=${id} value=${id}>${id}</option>`)}</select></label>
    <label class="field"><span>Description</span><textarea rows="6" value=${values.description} onInput=${set('description')}></textarea></label>
    <label class="field"><span>Priority</span><select value=${values.priority} onChange=${set('priority')}>
      ${['0: now', '1: soon', '2: normal', '3: later', '4: some day'].map((said, index) => html`<option key=${index} value=${String(index)}>${said}</option>`)}</select></label>
    <label class="field"><span>Labels, with spaces between them</span><input type="text" value=${values.labels} onInput=${set('labels')} /></label>
    <label class="field"><span>Waits for these tasks (ids)</span><input type="text" value=${values.after} onInput=${set('after')} /></label>
    <div class="row end"><button type="button" onClick=${() => close(false)}>Not now</button><button type="submit" class="primary" aria-busy=${isBusy}>Add</button></div>
  </form>`;
}

/** What is typed, once it has rested: ten thousand titles are not looked through at each key. */
function useRested(value, wait_ms) {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), wait_ms);
    return () => clearTimeout(timer);
  }, [value]);
  return rested;
}

/** The board. */
export function BoardPage() {
  const version = useTasks();
  const isWhole = useStore((state) => state.isTasksWhole);
  const projects = useStore((state) => state.projects) || [];
  const [typed, setTyped] = useState('');
  const [project, setProject] = useState('');
  const [label, setLabel] = useState('');
  const text = useRested(typed.trim().toLowerCase(), 120);
  const { tasks } = getState();
  const labels = useMemo(() => [...new Set([...tasks.values()].flatMap(({ task }) => task.labels))].sort().slice(0, 200), [version]);
  const columns = useMemo(() => sortOut(tasks, { text, project, label }), [version, text, project, label]);
  const [whys, ask] = useWhys();
  const add = async () => {
    const made = await openDialog(AddTask, { projects, project });
    if (made) toast(`${made.view.task.id} is on the queue`, { kind: 'good' });
  };
  return html`
    <div class="row"><h1 class="grow">Board</h1><${ActionButton} isPrimary disabled=${!projects.length} onClick=${add}>Add a task<//></div>
    <div class="row filters" role="search">
      <label class="grow"><span class="unseen">Search by id or title</span><input type="search" placeholder="Search ( / )" value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>
      <label><span class="unseen">Project</span><select value=${project} onChange=${(event) => setProject(event.target.value)}><option value="">all projects</option>${projects.map(({ id }) => html`<option key=${id} value=${id}>${id}</option>`)}</select></label>
      ${labels.length > 0 && html`<label><span class="unseen">Label</span><select value=${label} onChange=${(event) => setLabel(event.target.value)}><option value="">all labels</option>${labels.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`}
    </div>
    ${!isWhole && !tasks.size && html`<${Loading} what="tasks" />`}
    ${isWhole && !tasks.size && html`<${Empty}>${projects.length ? 'There is no task yet. Add one here, or in a terminal:' : 'There is no project yet, so there is nothing to work on:'} <${Command} text=${projects.length ? 'rmctl task add "TITLE"' : 'rmctl project add PATH'} /><//>`}
    ${tasks.size > 0 && html`<div class="board">${COLUMNS.map((column) => html`<${Column} key=${column.id} column=${column} views=${columns.get(column.id)} whys=${whys} ask=${ask} />`)}</div>`}`;
}
