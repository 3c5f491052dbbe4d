// The seats: what each does now, its last lines as they come, and what a person can do about it.
import { html, useEffect, useReducer, useRef, useState } from './vendor/preact.js';
import { mutate, toHash } from './client.js';
import { useFeed, useRpc, useStore } from './store.js';
import { ActionButton, Ago, Command, Empty, ErrorBox, Loading, StateBadge, TaskLink, confirm, openDialog, toast } from './ui.js';
import { visible } from './lines.js';
import { plural } from './words.js';

const REFRESH = ['worker.', 'attempt.leased', 'attempt.pulled', 'attempt.ended', 'task.validating'];
const LAST_LINES = 6;
// One feed for all seats: a websocket for each of twenty would be twenty of them.
const FEED = { output: ['steps', 'setup', 'gate'], type: ['attempt.job_started'], tail_lines: LAST_LINES };

/** The last lines of each attempt, drawn once a frame whatever comes. */
function useLastLines() {
  const lines = useRef(new Map());
  const [, redraw] = useReducer((count) => count + 1, 0);
  const frame = useRef(0);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  useFeed(FEED, (messages) => {
    for (const message of messages) {
      if (message.kind === 'steps') put(lines.current, message, message.steps.map((step) => ({ text: `${step.kind}: ${step.text}`, isFailed: Boolean(step.is_failed) })));
      else if (message.kind === 'lines' && message.text) put(lines.current, message, message.text.replace(/\n$/, '').split('\n').map((text) => ({ text, isFailed: false })));
      else if (message.kind === 'event') lines.current.delete(message.event.attempt_id);
    }
    if (!frame.current) frame.current = requestAnimationFrame(() => { frame.current = 0; redraw(); });
  });
  return lines.current;
}

function put(lines, { attempt_id: attemptId, job }, fresh) {
  if (!fresh.length) return;
  const before = lines.get(attemptId);
  const kept = before && before.job === job ? before.rows : [];
  lines.set(attemptId, { job, rows: [...kept, ...fresh].slice(-LAST_LINES) });
}

async function change(method, params, words, refresh) {
  await mutate(method, params);
  toast(words, { kind: 'good' });
  refresh();
}

function Lines({ found, attemptId, taskId }) {
  const rows = found ? found.rows : [];
  return html`<div class="last-lines">
    <p class="muted">${found ? `Last of ${found.job}` : 'Nothing said yet'} · <a href=${toHash('task', taskId, 'log')}>whole log of ${attemptId}</a></p>
    ${rows.length ? html`<pre class="log-tail">${rows.map((row) => html`<span class=${row.isFailed ? 'log-failed' : undefined}>${`${visible(row.text.split('\n')[0], 400)}\n`}</span>`)}</pre>` : null}
  </div>`;
}

function Actions({ view, refresh }) {
  const { id } = view.worker;
  const isStopped = view.shown === 'stopped';
  const stop = async () => {
    const isWorking = view.shown === 'working';
    const words = isWorking ? 'Its attempt is interrupted, and the task goes back on the queue.' : 'It is given nothing until it is started.';
    if (await confirm({ title: `Stop ${id}?`, words, action: 'Stop', isDangerous: isWorking })) {
      await change('worker.stop', { id }, `${id} stops`, refresh);
    }
  };
  const remove = async () => {
    if (await confirm({ title: `Remove ${id}?`, words: 'Its attempts stay as history.', action: 'Remove', isDangerous: true })) {
      await change('worker.remove', { id }, `${id} is removed`, refresh);
    }
  };
  return html`<div class="row actions" role="group" aria-label=${`What can be done about ${id}`}>
    ${(isStopped || view.shown === 'paused') && html`<${ActionButton} isPrimary label=${`Start ${id}`} onClick=${() => change('worker.start', { id }, `${id} takes tasks`, refresh)}>Start<//>`}
    ${!isStopped && view.shown !== 'paused' && html`<${ActionButton} label=${`Pause ${id}`} title="It finishes what it has and takes nothing more." onClick=${() => change('worker.pause', { id }, `${id} takes nothing more`, refresh)}>Pause<//>`}
    ${!isStopped && html`<${ActionButton} label=${`Stop ${id}`} isDanger=${view.shown === 'working'} onClick=${stop}>Stop<//>`}
    ${isStopped && html`<${ActionButton} label=${`Remove ${id}`} isDanger onClick=${remove}>Remove<//>`}
  </div>`;
}

function Seat({ view, lines, refresh }) {
  const { worker } = view;
  return html`<li class="card seat" aria-label=${`Worker ${worker.id}`}>
    <div class="row">
      <h2 class="grow"><code>${worker.id}</code> <span class="muted">${worker.agent}</span></h2>
      <${StateBadge} state=${view.shown} />
    </div>
    ${view.problem && html`<p class="problem">✗ ${view.problem}</p>`}
    ${(worker.project_id || worker.capabilities.length > 0) && html`<p class="muted">${worker.project_id ? `only ${worker.project_id}` : ''}${worker.capabilities.length ? ` can ${worker.capabilities.join(', ')}` : ''}</p>`}
    ${view.task_id && html`<p><${TaskLink} id=${view.task_id} title=${view.task_title} />${view.since_at ? html` <span class="muted">· <${Ago} at=${view.since_at} /></span>` : ''}</p>`}
    ${view.task_id && worker.attempt_id && html`<${Lines} found=${lines.get(worker.attempt_id)} attemptId=${worker.attempt_id} taskId=${view.task_id} />`}
    <${Actions} view=${view} refresh=${refresh} />
  </li>`;
}

function Spawn({ agents, projects, close }) {
  const [values, setValues] = useState({ agent: agents[0] || 'claude', id: '', count: '1', project_id: '', command: '' });
  const [problem, setProblem] = useState(null);
  const set = (name) => (event) => setValues({ ...values, [name]: event.target.value });
  const spawn = async (event) => {
    event.preventDefault();
    const params = { agent: values.agent, id: values.id.trim(), count: Number(values.count) || 1, project_id: values.project_id };
    // Words as a shell would have them, without its quotes: who needs those has `rmctl worker spawn`.
    if (values.agent === 'command') params.command = values.command.trim().split(/\s+/).filter(Boolean);
    try {
      close(await mutate('worker.spawn', params));
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<form onSubmit=${spawn}>
    <h2>More seats</h2>
    ${problem && html`<${ErrorBox} error=${problem} />`}
    <label class="field"><span>Agent</span><select data-first value=${values.agent} onChange=${set('agent')}>${agents.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    ${values.agent === 'command' && html`<label class="field"><span>Program and its words</span><input type="text" required value=${values.command} onInput=${set('command')} /></label>`}
    <label class="field"><span>How many</span><input type="number" min="1" max="100" value=${values.count} onInput=${set('count')} /></label>
    <label class="field"><span>Name (made up where empty)</span><input type="text" value=${values.id} onInput=${set('id')} /></label>
    <label class="field"><span>Only tasks of</span><select value=${values.project_id} onChange=${set('project_id')}><option value="">any project</option>${projects.map(({ id }) => html`<option key=${id} value=${id}>${id}</option>`)}</select></label>
    <div class="row end"><button type="button" onClick=${() => close(false)}>Not now</button><button type="submit" class="primary">Add</button></div>
  </form>`;
}

/** The seats with live logs. */
export function WorkersPage() {
  const { result, error, refresh } = useRpc('worker.list', {}, { refreshOn: REFRESH });
  const agents = useStore((state) => state.agents);
  const projects = useStore((state) => state.projects);
  const lines = useLastLines();
  const add = async () => {
    const names = (agents || []).map(({ name }) => name);
    const made = await openDialog(Spawn, { agents: names, projects: projects || [] });
    if (made) {
      toast(`${plural(made.workers.length, 'seat')} more`, { kind: 'good' });
      refresh();
    }
  };
  const all = async (method, title, words, done) => {
    if (await confirm({ title, words, action: title })) await change(method, { is_all: true }, done, refresh);
  };
  const seats = result ? result.workers : [];
  return html`
    <div class="row"><h1 class="grow">Workers</h1>
      <${ActionButton} isPrimary onClick=${add}>More seats<//>
      ${seats.length > 1 && html`<${ActionButton} onClick=${() => all('worker.pause', 'Pause all', 'They finish what they have and take nothing more.', 'all seats take nothing more')}>Pause all<//>
      <${ActionButton} onClick=${() => all('worker.start', 'Start all', 'They take tasks again.', 'all seats take tasks')}>Start all<//>`}
    </div>
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    ${!result && !error && html`<${Loading} what="workers" />`}
    ${result && !seats.length && html`<${Empty}>There is no seat yet, so nothing is worked on. <${Command} text="rmctl worker spawn --agent claude" /><//>`}
    <ul class="cards seats">${seats.map((view) => html`<${Seat} key=${view.worker.id} view=${view} lines=${lines} refresh=${refresh} />`)}</ul>`;
}
