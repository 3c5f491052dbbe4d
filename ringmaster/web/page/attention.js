// What needs a person, the most urgent first; below it what goes on. Nothing here is a list to scroll through: who has
// nothing to do sees that at once.
import { html } from './vendor/preact.js';
import { mutate, toHash } from './client.js';
import { refreshAll, useRpc, useStore } from './store.js';
import { ActionButton, Ago, Command, Empty, ErrorBox, Loading, StateBadge, TaskLink, confirm, toast } from './ui.js';
import { visible } from './lines.js';
import { Question } from './taskparts.js';
import { formatCount, formatTime, plural } from './words.js';

const FAILED_SHOWN = 20;
const RECENT_ATTEMPTS = 200;
const DAY_S = 86_400;

async function act(method, params, words) {
  const answer = await mutate(method, params);
  toast(answer.note || words, { kind: 'good' });
  refreshAll();
}

/** A thing that needs somebody and is no question. */
function Trouble({ title, words, isBad, children }) {
  return html`<article class=${`card needs ${isBad ? 'is-bad' : ''}`}><h3>${title}</h3>${words && html`<p class="said">${visible(words, 2000)}</p>`}<div class="row">${children}</div></article>`;
}

const resume = (params, words) => () => act('queue.resume', params, words);

/** Everything of the status that is not as it should be. */
function troublesOf(status, agents) {
  const { health, queue_pause: pause, last_reload: reload } = status;
  return [
    health.state !== 'ok' && html`<${Trouble} key="health" isBad title=${`The daemon is ${health.state}`} words=${health.words} />`,
    ...(status.shortages || []).map((one) => html`<${Trouble} key=${one.kind} isBad title="Nothing is given out" words=${one.words}>${one.command && html`<${Command} text=${one.command} />`}<//>`),
    pause && html`<${Trouble} key="pause" title="The queue is paused" words=${`${pause.reason || 'no reason given'}, by ${pause.actor}`}><${ActionButton} isPrimary onClick=${resume({}, 'the queue goes on')}>Resume<//><//>`,
    ...status.paused.map((one) => html`<${Trouble} key=${`project ${one.project_id}`} title=${`Project ${one.project_id} is paused`} words=${one.reason}><${ActionButton} isPrimary label=${`Resume ${one.project_id}`} onClick=${resume({ project_id: one.project_id }, `${one.project_id} goes on`)}>Resume<//><//>`),
    ...status.resting.map((one) => html`<${Trouble} key=${`account ${one.account}`} title=${`${one.agent} rests: ${one.label}`} words=${one.reason}><span class="muted">until ${formatTime(one.until_at)}</span><//>`),
    ...agents.filter((one) => one.paused_at).map((one) => html`<${Trouble} key=${`agent ${one.name}`} title=${`Agent ${one.name} is not started`} words=${one.paused_reason}><${Command} text=${`rmctl agent test ${one.name}`} /><//>`),
    ...status.budgets.map((one, index) => html`<${Trouble} key=${`budget ${index}`} title="A budget is used up" words="Nothing more of it begins today."><${Command} text="rmctl budget show" /><//>`),
    ...status.parked.map((one) => html`<${Trouble} key=${`parked ${one.project_id}`} title=${`Landed in ${one.project_id}, not yet in your checkout`} words=${one.reason}><${Command} text=${one.command} /><//>`),
    reload && reload.state === 'bad' && html`<${Trouble} key="reload" isBad title=${`Generation ${reload.id} of the daemon was taken back`} words=${reload.reason}><a href=${toHash('generations')}>Generations</a><//>`,
  ].filter(Boolean);
}

function Failed({ view }) {
  const { task } = view;
  const retry = () => act('task.retry', { id: task.id }, `${task.id} is on the queue again`);
  return html`<li class="card"><div class="row"><span class="grow"><${TaskLink} id=${task.id} title=${visible(task.title, 200)} /></span><${StateBadge} state=${view.shown} />
      <span class="muted"><${Ago} at=${task.updated_at} /></span><a href=${toHash('task', task.id, 'gate')}>Gate</a><${ActionButton} label=${`Retry ${task.id}`} onClick=${retry}>Retry<//></div>
    ${task.failure && html`<p class="muted cut">${visible(task.failure.replaceAll('\n', ': '), 300)}</p>`}</li>`;
}

function FailedTasks({ count, answer }) {
  const { result, error, refresh } = answer;
  if (!count) return null;
  const failed = result ? [...result.tasks].sort((one, other) => other.task.updated_at - one.task.updated_at) : [];
  return html`<section aria-labelledby="failed"><h2 id="failed">Failed <span class="muted">${formatCount(count)}</span></h2>
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    <ul class="cards">${failed.slice(0, FAILED_SHOWN).map((view) => html`<${Failed} key=${view.task.id} view=${view} />`)}</ul>
    ${failed.length > FAILED_SHOWN && html`<p><a href=${toHash('board')}>and ${formatCount(failed.length - FAILED_SHOWN)} more on the board</a></p>`}
  </section>`;
}

/** The newest attempts of a day whose gate was red, of tasks that went on to nothing better. told: of whom it is said already. */
function redGates(attempts, now, told) {
  const seen = new Set(told);
  return attempts.filter((attempt) => {
    if (seen.has(attempt.task_id)) return false;
    seen.add(attempt.task_id);
    return attempt.outcome === 'gate_failed' && attempt.ended_at > now - DAY_S;
  });
}

function FailedGates({ told }) {
  const now = useStore((state) => state.now);
  const { result } = useRpc('attempt.list', { limit: RECENT_ATTEMPTS }, { refreshOn: ['attempt.'] });
  const gates = result ? redGates(result.attempts, now, told) : [];
  if (!gates.length) return null;
  return html`<section aria-labelledby="gates"><h2 id="gates">Failed gates <span class="muted">${formatCount(gates.length)}</span></h2>
    <ul class="cards">${gates.slice(0, FAILED_SHOWN).map((attempt) => html`<li class="card" key=${attempt.id}>
      <div class="row"><span class="grow"><${TaskLink} id=${attempt.task_id} title=${`attempt ${attempt.number}`} /></span><span class="muted"><${Ago} at=${attempt.ended_at} /></span>
        <a href=${toHash('task', attempt.task_id, 'gate')}>what it said</a></div>
      ${attempt.reason && html`<p class="muted cut">${visible(attempt.reason, 300)}</p>`}</li>`)}</ul></section>`;
}

function Now({ status }) {
  const { queue, workers } = status;
  const working = workers.filter(({ shown }) => shown === 'working');
  const pause = async () => {
    const message = await confirm({
      title: 'Pause the queue?', words: 'What runs goes on; nothing new is given out.', action: 'Pause', input: { label: 'Why (may be empty)', value: '' },
    });
    if (message !== false) await act('queue.pause', { message }, 'the queue is paused');
  };
  const reload = () => act('reload.request', {}, 'newer code is looked for');
  const undo = async () => {
    if (await confirm({ title: 'Take back the newest change?', words: 'The newest edit, cancel, hold, close or reopening that a person made.', action: 'Undo' })) {
      await act('task.undo', {}, 'taken back');
    }
  };
  return html`<section aria-labelledby="now"><h2 id="now">Now</h2>
    <p>${[[queue.running, 'running'], [queue.validating + queue.landing, 'in gate or landing'], [queue.ready, 'ready'], [queue.blocked, 'blocked'], [queue.scheduled, 'scheduled'], [queue.waiting, 'waiting for a person'], [queue.done, 'done']]
      .filter(([count]) => count).map(([count, words]) => `${formatCount(count)} ${words}`).join(' · ') || 'The queue is empty.'}</p>
    <p class="muted">${plural(workers.length, 'seat')}, ${working.length} at work · generation ${status.generation}${status.reload_step ? `: ${status.reload_step}` : ''} · ${status.version}</p>
    <ul class="cards">${working.slice(0, 12).map(({ worker, task_id: taskId, task_title: title, since_at: since }) => html`<li class="card" key=${worker.id}>
      <div class="row tight"><code>${worker.id}</code><span class="muted grow">${worker.agent}</span><span class="muted"><${Ago} at=${since} /></span></div><${TaskLink} id=${taskId} title=${visible(title, 200)} /></li>`)}</ul>
    <div class="row" role="group" aria-label="The whole queue">
      ${status.queue_pause ? html`<${ActionButton} onClick=${resume({}, 'the queue goes on')}>Resume the queue<//>` : html`<${ActionButton} onClick=${pause}>Pause the queue<//>`}
      <${ActionButton} onClick=${reload}>Reload the daemon<//><${ActionButton} onClick=${undo}>Undo a change<//>
    </div>
  </section>`;
}

/** What a person sees first. */
export function AttentionPage() {
  const status = useStore((state) => state.status);
  const agents = useStore((state) => state.agents);
  const failed = useRpc('task.list', { state: ['failed'], is_all: true, limit: 1000 }, { refreshOn: ['task.'], isOff: !status?.queue.failed });
  if (!status) return html`<h1>What needs you</h1><${Loading} what="the daemon's state" />`;
  const troubles = troublesOf(status, agents || []);
  const isQuiet = !status.decisions.length && !troubles.length && !status.queue.failed;
  return html`<h1>What needs you</h1>
    ${isQuiet && html`<${Empty}>✓ Nothing. ${status.projects ? '' : html`There is no project yet: <${Command} text="rmctl project add PATH" />`}<//>`}
    ${status.decisions.length > 0 && html`<section aria-labelledby="questions"><h2 id="questions">${plural(status.decisions.length, 'question')}</h2>
      ${status.decisions.map((decision) => html`<${Question} key=${decision.id} decision=${decision} refresh=${refreshAll} isLinked />`)}</section>`}
    ${troubles.length > 0 && html`<section aria-labelledby="troubles"><h2 id="troubles">Not as it should be</h2>${troubles}</section>`}
    <${FailedTasks} count=${status.queue.failed} answer=${failed} />
    <${FailedGates} told=${[...status.decisions.map((one) => one.task_id), ...(failed.result?.tasks || []).map(({ task }) => task.id)]} />
    <${Now} status=${status} />`;
}
