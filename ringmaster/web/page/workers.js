// Seats with what each does now and the last it said; and what a person can do with seats.

import { mutate, toHash } from './client.js';
import { refreshAll, useFeed, useRpc, useStore } from './store.js';
import { ActionButton, Ago, Command, confirm, Empty, ErrorBox, Loading, openDialog, StateBadge, TaskLink, toast } from './ui.js';
import { html, useCallback, useEffect, useRef, useState } from './vendor/preact.js';
import { plural } from './words.js';

const KEPT_LINES = 4;
const LINE_CHARS = 300;
const DRAW_MS = 200;
const SUBSCRIPTION = { output: ['steps', 'stderr', 'setup', 'gate'], type: ['worker.spawned'], tail_lines: 5 };

// The last lines of each live attempt. A thousand lines a second are drawn five times in it.
function useLastLines() {
  const lines = useRef(new Map());
  const timer = useRef(null);
  const [, setTurn] = useState(0);
  const draw = useCallback(() => {
    timer.current = null;
    setTurn((turn) => turn + 1);
  }, []);
  useEffect(() => () => clearTimeout(timer.current), []);
  const connection = useFeed(SUBSCRIPTION, (messages) => {
    for (const message of messages) {
      if (message.kind !== 'lines' && message.kind !== 'steps') continue;
      const fresh = message.kind === 'steps'
        ? message.steps.slice(-KEPT_LINES).map(({ kind, text }) => `${kind}: ${text.trimEnd().split('\n').pop()}`)
        : message.text.trimEnd().split('\n').slice(-KEPT_LINES);
      const all = [...(lines.current.get(message.attempt_id) || []), ...fresh.filter(Boolean).map((line) => line.slice(0, LINE_CHARS))];
      lines.current.set(message.attempt_id, all.slice(-KEPT_LINES));
    }
    if (timer.current === null) timer.current = setTimeout(draw, DRAW_MS);
  });
  return { linesOf: (attemptId) => lines.current.get(attemptId) || [], connection };
}

async function act(method, params, words) {
  await mutate(method, params);
  toast(words, { kind: 'good' });
  refreshAll();
}

async function stop(params, name) {
  const isSure = await confirm({ title: `Stop ${name}?`, words: 'What runs is interrupted; its work is kept and its task goes back on the queue.', action: 'Stop now', isDangerous: true });
  if (isSure) await act('worker.stop', params, `${name}: stopping`);
}

async function remove(id) {
  const isSure = await confirm({ title: `Remove ${id}?`, words: 'The seat is gone then. Its attempts stay in the history.', action: 'Remove the seat', isDangerous: true });
  if (isSure) await act('worker.remove', { id }, `${id} is removed`);
}

function Seat({ view, lines }) {
  const { worker, shown } = view;
  const { id } = worker;
  const isActive = worker.state === 'active';
  return html`<li class="card seat">
    <h2><code>${id}</code> <${StateBadge} state=${shown} /></h2>
    <p class="hint">${worker.agent}${worker.project_id ? ` · only ${worker.project_id}` : ''}${worker.capabilities.length ? ` · ${worker.capabilities.join(', ')}` : ''}${worker.is_pulled ? ' · by hand' : ''}</p>
    ${view.task_id ? html`<p><${TaskLink} id=${view.task_id} title=${view.task_title} /> <span class="hint">since <${Ago} at=${view.since_at} /></span></p>` : html`<p class="hint">no task</p>`}
    ${view.problem && html`<p class="error">✗ ${view.problem}</p>`}
    ${view.task_id && html`<ul class="last-lines" aria-label=${`Last lines of ${id}`}>${lines.map((line, index) => html`<li key=${index} title=${line}>${line}</li>`)}</ul>
      <p><a href=${toHash('task', view.task_id, 'log')}>Follow the log of ${view.task_id}</a></p>`}
    <div class="row" role="group" aria-label=${`Seat ${id}`}>
      ${isActive ? html`<${ActionButton} label=${`Pause ${id}`} title="Finish what it has, take nothing more" onClick=${() => act('worker.pause', { id }, `${id} takes nothing more`)}>Pause<//>`
        : html`<${ActionButton} label=${`Start ${id}`} onClick=${() => act('worker.start', { id }, `${id} takes tasks`)}>Start<//>`}
      ${worker.state !== 'stopped' && html`<${ActionButton} label=${`Stop ${id}`} isDanger onClick=${() => stop({ id }, id)}>Stop<//>`}
      ${worker.state === 'stopped' && !worker.attempt_id && html`<${ActionButton} label=${`Remove ${id}`} isDanger onClick=${() => remove(id)}>Remove<//>`}
    </div>
  </li>`;
}

function AddSeats({ agents, projects, close }) {
  const usable = agents.filter(({ program, kind }) => program || kind === 'scripted');
  const [values, setValues] = useState({ agent: (usable[0] || agents[0])?.name || '', count: '1', project_id: '' });
  const [problem, setProblem] = useState(null);
  const field = (name) => ({ value: values[name], onInput: (event) => setValues({ ...values, [name]: event.target.value }) });
  const add = async (event) => {
    event.preventDefault();
    try {
      close(await mutate('worker.spawn', { ...values, count: Number(values.count) }));
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<form onSubmit=${add}><h2>Add seats</h2>
    <label class="field"><span>Agent</span><select data-first ...${field('agent')}>${agents.filter(({ name }) => name !== 'command').map(({ name, program, kind }) => html`<option value=${name}>${name}${program || kind === 'scripted' ? '' : ' (not found)'}</option>`)}</select></label>
    <label class="field"><span>How many</span><input type="number" min="1" max="1000" required ...${field('count')} /></label>
    <label class="field"><span>Only for project</span><select ...${field('project_id')}><option value="">any</option>${projects.map(({ id }) => html`<option value=${id}>${id}</option>`)}</select></label>
    ${problem && html`<div class="error" role="alert"><p>✗ ${problem.message}</p>${problem.hint && html`<p class="hint">${problem.hint}</p>`}</div>`}
    <div class="row end"><button type="button" onClick=${() => close(false)}>Not now</button><button type="submit" class="primary">Add seats</button></div></form>`;
}

export function WorkersPage() {
  const { result, error, refresh } = useRpc('worker.list', {}, { refreshOn: ['worker.', 'attempt.started', 'attempt.leased', 'attempt.handed_in', 'attempt.ended', 'attempt.pulled'] });
  const agents = useStore((state) => state.agents) || [];
  const projects = useStore((state) => state.projects) || [];
  const { linesOf } = useLastLines();
  const spawn = async () => {
    const added = await openDialog(AddSeats, { agents, projects });
    if (added) toast(`added ${plural(added.workers.length, 'seat')}`, { kind: 'good' });
  };
  const workers = result ? result.workers : [];
  const working = workers.filter(({ shown }) => shown === 'working').length;
  return html`
    <h1>Workers</h1>
    <div class="row filters">
      <p class="grow muted" role="status">${result ? `${working} of ${plural(workers.length, 'seat')} at work` : ''}</p>
      <${ActionButton} isPrimary disabled=${!agents.length} onClick=${spawn}>Add seats<//>
      ${workers.length > 0 && html`
        <${ActionButton} onClick=${() => act('worker.start', { is_all: true }, 'all seats take tasks')}>Start all<//>
        <${ActionButton} onClick=${() => act('worker.pause', { is_all: true }, 'no seat takes more')}>Pause all<//>
        <${ActionButton} isDanger onClick=${() => stop({ is_all: true }, 'all seats')}>Stop all<//>`}
    </div>
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    ${!result && !error && html`<${Loading} what="seats" />`}
    ${result && !workers.length && html`<${Empty}>There is no seat yet: add some here, or <${Command} text="rmctl worker spawn AGENT" /><//>`}
    <ul class="list seats">${workers.map((view) => html`<${Seat} key=${view.worker.id} view=${view} lines=${linesOf(view.worker.attempt_id)} />`)}</ul>`;
}
