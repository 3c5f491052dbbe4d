// Throughput, success and cost over time: three charts, and the same figures as a table.
import { html, useState, useEffect, useMemo, useRef } from './vendor/preact.js';
import uPlot from './vendor/uplot.js';
import { useRpc, useStore } from './store.js';
import { Empty, ErrorBox, Loading } from './ui.js';
import { Scroll } from './lines.js';
import { formatCost, formatCount, formatDuration } from './words.js';

const SPANS = [['2d', 'Two days by hour', 'hour', 48], ['7d', 'A week by hour', 'hour', 168], ['30d', 'A month by day', 'day', 30], ['365d', 'A year by day', 'day', 365]];
const SECONDS = { hour: 3600, day: 86_400 };
// The daemon counts hours and days by the reader's clock as it is now.
const offsetNow = () => Math.round((-new Date().getTimezoneOffset() * 60) / 900) * 900;
const sumOf = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

const CHARTS = [
  { name: 'Throughput', words: 'tasks and attempts that ended', series: [['landed', 'Landed', '--good', (p) => p.landed], ['failed', 'Failed', '--bad', (p) => p.failed], ['attempts', 'Attempts', '--muted', (p) => sumOf(p.attempts)]], format: formatCount },
  { name: 'Success', words: 'of the attempts that count, the share that succeeded', series: [['success', 'Succeeded', '--good', (p) => (p.success_rate === null || p.success_rate === undefined ? null : p.success_rate * 100)]], format: (value) => `${Math.round(value)} %`, range: [0, 100] },
  { name: 'Cost', words: 'what those attempts cost, as far as their agents told', series: [['cost', 'US dollars', '--accent', (p) => p.cost_usd]], format: (usd) => (usd && usd < 0.1 ? `$${usd.toFixed(3)}` : formatCost(usd)) },
];

/** Colours of the page's style as a canvas understands them: a property's own value may be a function of the scheme. */
function colours() {
  const probe = document.createElement('span');
  document.body.append(probe);
  const names = ['--good', '--bad', '--muted', '--accent', '--line', '--text'];
  const found = new Map(names.map((name) => {
    probe.style.color = `var(${name}, CanvasText)`;
    return [name, getComputedStyle(probe).color];
  }));
  probe.remove();
  return (name) => found.get(name);
}

function useIsDark() {
  const query = useMemo(() => matchMedia('(prefers-color-scheme: dark)'), []);
  const [isDark, setDark] = useState(query.matches);
  useEffect(() => {
    const listen = () => setDark(query.matches);
    query.addEventListener('change', listen);
    return () => query.removeEventListener('change', listen);
  }, [query]);
  return isDark;
}

function optionsOf(chart, width) {
  const colour = colours();
  const axis = { stroke: colour('--text'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line') } };
  return {
    width,
    height: 190,
    cursor: { drag: { x: false, y: false } },
    legend: { live: width > 480 },
    scales: { y: { range: (_, low, high) => chart.range || [0, Math.max(high || 0, chart.name === 'Cost' ? 0.01 : 1) * 1.1] } },
    axes: [axis, { ...axis, size: 62, values: (_, marks) => marks.map((mark) => (mark === null ? '' : chart.format(mark))) }],
    series: [{}, ...chart.series.map(([, label, name], index) => ({
      label,
      stroke: colour(name),
      width: 2,
      // Lines that cross are told apart without their colour too.
      dash: [[], [8, 4], [2, 4]][index],
      // A point that stands alone has no line.
      points: { show: chart.name === 'Success' ? true : undefined, size: 5 },
      spanGaps: false,
      value: (_, value) => (value === null || value === undefined ? 'none' : chart.format(value)),
    }))],
  };
}

function Chart({ chart, points }) {
  const box = useRef(null);
  const isDark = useIsDark();
  const data = useMemo(() => [points.map((point) => point.begin_at), ...chart.series.map(([, , , value]) => points.map(value))], [chart, points]);
  useEffect(() => {
    const node = box.current;
    let plot = null;
    const draw = () => {
      const width = Math.max(240, node.clientWidth);
      if (plot && plot.width === width) return;
      if (plot) plot.destroy();
      plot = new uPlot(optionsOf(chart, width), data, node);
    };
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(node);
    return () => { observer.disconnect(); plot.destroy(); };
  }, [chart, data, isDark]);
  return html`<figure class="card chart">
    <figcaption><h2>${chart.name}</h2><span class="hint">${chart.words}</span></figcaption>
    <div ref=${box} class="chart-box" role="img" aria-label=${`${chart.name}: ${chart.words}. The table below has the figures.`}></div>
  </figure>`;
}

function Figures({ series }) {
  const [isWhole, setWhole] = useState(false);
  const all = [...series.points].reverse();
  const busy = all.filter((point) => sumOf(point.attempts) || point.landed || point.failed || point.cancelled || point.gates);
  const shown = isWhole ? busy : busy.slice(0, 60);
  const at = (point) => new Date(point.begin_at * 1000).toLocaleString([], series.by === 'day' ? { dateStyle: 'medium' } : { dateStyle: 'short', timeStyle: 'short' });
  if (!busy.length) return html`<${Empty}>Nothing ended in this time.<//>`;
  return html`<${Scroll} className="scroll card" label="Figures"><table>
    <caption>The figures, the newest first; what nothing happened in is left out</caption>
    <thead><tr>
      <th scope="col">${series.by === 'day' ? 'Day' : 'Hour'}</th><th scope="col" class="number">Landed</th><th scope="col" class="number">Failed</th><th scope="col" class="number">Attempts</th>
      <th scope="col" class="number">Success</th><th scope="col" class="number">Cost</th><th scope="col" class="number">Tokens in</th><th scope="col" class="number">Tokens out</th><th scope="col" class="number">Until landed, median</th><th scope="col" class="number">Gates</th>
    </tr></thead>
    <tbody>${shown.map((point) => html`<tr key=${point.begin_at}>
      <th scope="row">${at(point)}${point.is_open ? ' (so far)' : ''}</th><td class="number">${point.landed}</td><td class="number">${point.failed}</td><td class="number">${sumOf(point.attempts)}</td>
      <td class="number">${point.success_rate === null || point.success_rate === undefined ? 'none' : `${Math.round(point.success_rate * 100)} %`}</td><td class="number">${formatCost(point.cost_usd)}</td>
      <td class="number">${formatCount(point.tokens_in)}</td><td class="number">${formatCount(point.tokens_out)}</td>
      <td class="number">${point.landed_after_s === null || point.landed_after_s === undefined ? '' : formatDuration(point.landed_after_s)}</td>
      <td class="number">${point.gates ? `${point.gates} in ${formatDuration(point.gate_s)}` : ''}</td></tr>`)}</tbody>
  </table>
  ${busy.length > shown.length && html`<button type="button" onClick=${() => setWhole(true)}>All ${busy.length}</button>`}<//>`;
}

export function StatsPage() {
  const [span, setSpan] = useState('30d');
  const [project, setProject] = useState('');
  const projects = useStore((state) => state.projects);
  const [, , by, count] = SPANS.find(([name]) => name === span);
  // Held still within an hour: as a parameter it would ask again at each drawing.
  const since = Math.floor(Date.now() / 1000 / SECONDS.hour) * SECONDS.hour - (count - 1) * SECONDS[by];
  const params = { by, since_at: since, offset_s: offsetNow(), ...(project ? { project_id: project } : {}) };
  const { result, error, refresh } = useRpc('stats.series', params, { refreshOn: ['attempt.ended', 'task.landed', 'task.failed'] });
  const total = useMemo(() => {
    if (!result) return null;
    const sum = (value) => result.points.reduce((all, point) => all + value(point), 0);
    return { landed: sum((p) => p.landed), failed: sum((p) => p.failed), attempts: sum((p) => sumOf(p.attempts)), cost: sum((p) => p.cost_usd) };
  }, [result]);
  return html`<div class="page stats">
    <h1>Figures over time</h1>
    <div class="bar">
      <label>Time <select value=${span} onChange=${(event) => setSpan(event.target.value)}>${SPANS.map(([name, words]) => html`<option value=${name}>${words}</option>`)}</select></label>
      <label>Project <select value=${project} onChange=${(event) => setProject(event.target.value)}><option value="">all</option>
        ${[...(projects ? projects.values() : [])].map((one) => html`<option value=${one.id}>${one.id}</option>`)}</select></label>
      ${total && html`<span class="grow" role="status">${formatCount(total.landed)} landed, ${formatCount(total.failed)} failed, ${formatCount(total.attempts)} attempts, ${formatCost(total.cost)}</span>`}
    </div>
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    ${!result && !error && html`<${Loading} what="the figures" />`}
    ${result && html`<div class="charts">${CHARTS.map((chart) => html`<${Chart} key=${chart.name} chart=${chart} points=${result.points} />`)}</div><${Figures} series=${result} />`}
  </div>`;
}
