// All tasks in columns by what a person sees of them, each with why it is there.

import { mutate, navigate, rpcBatch, toHash } from './client.js';
import { getState, useEvents, useStore, useTasks } from './store.js';
import { ActionButton, confirm, openDialog, toast, toastError, WindowedList } from './ui.js';
import { html, useEffect, useMemo, useRef, useState } from './vendor/preact.js';
import { formatAgo, formatCount } from './words.js';

const COLUMNS = [
  ['waiting', 'Asks you', ['waiting']],
  ['blocked', 'Blocked', ['blocked', 'scheduled', 'draft']],
  ['ready', 'Ready', ['ready', 'open']],
  ['running', 'At work', ['running', 'validating', 'landing']],
  ['failed', 'Failed', ['failed', 'poisoned', 'cancelled']],
  ['done', 'Done', ['done']],
];
const COLUMN_OF = Object.fromEntries(COLUMNS.flatMap(([id, , states]) => states.map((state) => [state, id])));
const ROW_PX = 78;
const ASK_AFTER_MS = 150;
const WORTH_ASKING = new Set(['waiting', 'blocked', 'ready', 'running', 'failed']);
const byRank = (a, b) => a.task.rank - b.task.rank || a.seq - b.seq;
const byAge = (a, b) => b.task.updated_at - a.task.updated_at || b.seq - a.seq;

// No event tells that a time has come.
function shownOf(view, now) {
  return view.shown === 'scheduled' && view.task.not_before_at <= now ? 'ready' : view.shown;
}

function columnsOf(tasks, { project, label, text }, now) {
  const columns = Object.fromEntries(COLUMNS.map(([id]) => [id, []]));
  const wanted = text.trim().toLowerCase();
  for (const view of tasks.values()) {
    const { task } = view;
    if (project && task.project_id !== project) continue;
    if (label && !task.labels.includes(label)) continue;
    if (wanted && !`${task.id} ${task.title} ${task.labels.join(' ')}`.toLowerCase().includes(wanted)) continue;
    columns[COLUMN_OF[shownOf(view, now)] || 'blocked'].push(view);
  }
  for (const [id, views] of Object.entries(columns)) views.sort(id === 'failed' || id === 'done' ? byAge : byRank);
  return columns;
}

// Asks `task.why` for the rows in sight, many at once, and again where the row or what holds for all has changed.
function useWhys() {
  const known = useRef(new Map());
  const wanted = useRef(new Map());
  const timer = useRef(null);
  const [, setTurn] = useState(0);
  const ask = async () => {
    timer.current = null;
    const calls = [...wanted.current.values()].filter(({ task }) => known.current.get(task.id)?.version !== task.version);
    wanted.current = new Map();
    if (!calls.length) return;
    try {
      const answers = await rpcBatch(calls.map(({ task }) => ['task.why', { id: task.id, limit: 1 }]));
      answers.forEach((why, index) => {
        const { task } = calls[index];
        known.current.set(task.id, { version: task.version, words: why instanceof Error ? '' : why.obstacles[0]?.words || why.doing?.words || why.ending?.words || why.first });
      });
      setTurn((turn) => turn + 1);
    } catch {
      // The words come with the next look; the connection says what is wrong.
    }
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const want = (views) => {
    for (const view of views) wanted.current.set(view.task.id, view);
    if (timer.current === null) timer.current = setTimeout(ask, ASK_AFTER_MS);
  };
  const forget = () => { for (const one of known.current.values()) one.version = -1; };
  return { wordsOf: (id) => known.current.get(id)?.words, want, forget };
}

function TaskCard({ view, why, now }) {
  const { task } = view;
  const shown = shownOf(view, now);
  const words = shown === 'done' ? `${task.done_by || 'done'} ${formatAgo(task.updated_at, now)}${view.is_parked ? ', not yet in your checkout' : ''}` : why || '';
  return html`<a class="task-card" href=${toHash('task', task.id)}>
    <span class="title" title=${task.title}>${task.title}</span>
    <span><code>${task.id}</code> · ${task.project_id} · P${task.priority}${shown !== COLUMN_OF[shown] ? ` · ${shown}` : ''}${view.is_asking && shown !== 'waiting' ? ' · asks you' : ''}${task.labels.length ? ` · ${task.labels.join(', ')}` : ''}</span>
    <span title=${words}>${words}</span>
  </a>`;
}

function Column({ id, title, views, now, isChosen, whys, version }) {
  const inSight = useRef([0, 0]);
  const look = (first, last) => {
    inSight.current = [first, last];
    if (WORTH_ASKING.has(id)) whys.want(views.slice(first, last));
  };
  useEffect(() => { look(...inSight.current); }, [version]);
  return html`<section class=${`column ${isChosen ? 'is-chosen' : ''}`} aria-label=${title}>
    <h2>${title} <span class="number">${formatCount(views.length)}</span></h2>
    <${WindowedList} items=${views} rowHeight=${ROW_PX} keyOf=${(view) => view.task.id} label=${`${title}: tasks`} onVisible=${look}
      renderRow=${(view) => html`<${TaskCard} view=${view} now=${now} why=${whys.wordsOf(view.task.id)} />`} />
  </section>`;
}

const listOf = (text) => text.split(/[\s,]+/).filter(Boolean);

function AddTask({ projects, project, close }) {
  const [values, setValues] = useState({ title: '', description: '', project_id: project || (projects[0]?.id ?? ''), priority: '2', type: 'task', labels: '', after: '', acceptance: '', is_held: false, is_draft: false });
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const field = (name) => ({ value: values[name], onInput: (event) => setValues({ ...values, [name]: event.target.value }) });
  const tick = (name) => ({ checked: values[name], onChange: (event) => setValues({ ...values, [name]: event.target.checked }) });
  const add = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    try {
      close(await mutate('task.add', {
        ...values, title: values.title.trim(), priority: Number(values.priority), labels: listOf(values.labels), after: listOf(values.after),
        acceptance: values.acceptance.split('\n').map((line) => line.trim()).filter(Boolean),
      }));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<form onSubmit=${add}>
    <h2>Add a task</h2>
    <label class="field"><span>Title</span><input type="text" data-first required maxlength="500" ...${field('title')} /></label>
    <label class="field"><span>Description</span><textarea rows="5" ...${field('description')}></textarea></label>
    <div class="row">
      <label class="field grow"><span>Project</span><select ...${field('project_id')}>${projects.map(({ id }) => html`<option value=${id}>${id}</option>`)}</select></label>
      <label class="field"><span>Priority</span><select ...${field('priority')}>${['0 most urgent', '1', '2', '3', '4 least'].map((words, value) => html`<option value=${value}>${words}</option>`)}</select></label>
      <label class="field"><span>Type</span><select ...${field('type')}>${['task', 'bug', 'feature', 'chore', 'spike', 'epic'].map((type) => html`<option value=${type}>${type}</option>`)}</select></label>
    </div>
    <label class="field"><span>Accept when (one a line)</span><textarea rows="2" ...${field('acceptance')}></textarea></label>
    <div class="row"><label class="field grow"><span>Labels</span><input type="text" ...${field('labels')} /></label>
      <label class="field grow"><span>After these tasks</span><input type="text" ...${field('after')} /></label></div>
    <div class="row"><label><input type="checkbox" ...${tick('is_held')} /> hold it until I release it</label>
      <label><input type="checkbox" ...${tick('is_draft')} /> a draft</label></div>
    ${problem && html`<div class="error" role="alert"><p>✗ ${problem.message}</p>${problem.hint && html`<p class="hint">${problem.hint}</p>`}</div>`}
    <div class="row end"><button type="button" onClick=${() => close(false)}>Not now</button>
      <button type="submit" class="primary" disabled=${!values.title.trim()} aria-busy=${isBusy}>Add the task</button></div>
  </form>`;
}

async function undoLast() {
  const isSure = await confirm({ title: 'Undo the newest change?', words: 'Takes back the newest edit, cancel, dependency, hold, deferral, close or reopening that a person made, whole or not at all.', action: 'Undo' });
  if (isSure) toast((await mutate('task.undo', {})).note || 'taken back', { kind: 'good' });
}

function labelsOf(tasks) {
  const labels = new Set();
  for (const { task } of tasks.values()) for (const label of task.labels) labels.add(label);
  return [...labels].sort();
}

export function BoardPage() {
  const version = useTasks();
  const isWhole = useStore((state) => state.isTasksWhole);
  const projects = useStore((state) => state.projects) || [];
  const now = useStore((state) => state.now);
  const [filter, setFilter] = useState({ project: '', label: '', text: '' });
  const [chosen, setChosen] = useState('ready');
  const whys = useWhys();
  const { tasks } = getState();
  const minute = Math.floor(now / 15);
  const columns = useMemo(() => columnsOf(tasks, filter, now), [version, filter, minute]);
  const labels = useMemo(() => labelsOf(tasks), [version]);
  const [general, setGeneral] = useState(0);
  useEvents(['worker.', 'queue.', 'project.', 'account.', 'agent.', 'budget.', 'attempt.started', 'attempt.ended', 'decision.'], () => {
    whys.forget();
    setGeneral((turn) => turn + 1);
  });
  const set = (name) => (event) => setFilter({ ...filter, [name]: event.target.value });
  const add = async () => {
    const added = await openDialog(AddTask, { projects, project: filter.project });
    if (!added) return;
    toast(`added ${added.view.task.id}`, { kind: 'good' });
    navigate(toHash('task', added.view.task.id));
  };
  return html`
    <h1 class="unseen">Board</h1>
    <div class="filters" role="search" aria-label="Tasks">
      <label class="grow"><span class="unseen">Search tasks</span><input class="grow" type="search" placeholder="Search  ( / )" value=${filter.text} onInput=${set('text')} /></label>
      <label>Project <select value=${filter.project} onChange=${set('project')}><option value="">all</option>${projects.map(({ id }) => html`<option value=${id}>${id}</option>`)}</select></label>
      ${labels.length > 0 && html`<label>Label <select value=${filter.label} onChange=${set('label')}><option value="">all</option>${labels.map((label) => html`<option value=${label}>${label}</option>`)}</select></label>`}
      <${ActionButton} isPrimary onClick=${() => { add().catch(toastError); }} disabled=${!projects.length}>Add a task<//>
      <${ActionButton} onClick=${undoLast}>Undo<//>
      <span class="muted" role="status">${isWhole ? '' : `${formatCount(tasks.size)} tasks so far …`}</span>
    </div>
    <label class="column-choice">Column <select value=${chosen} onChange=${(event) => setChosen(event.target.value)}>${COLUMNS.map(([id, title]) => html`<option value=${id}>${title} (${formatCount(columns[id].length)})</option>`)}</select></label>
    <div class="board">${COLUMNS.map(([id, title]) => html`<${Column} key=${id} id=${id} title=${title} views=${columns[id]} now=${now} isChosen=${id === chosen} whys=${whys} version=${`${version} ${general}`} />`)}</div>`;
}
