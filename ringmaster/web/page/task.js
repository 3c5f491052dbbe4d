// The page of one task: what it is, why it is so, what was tried, and what a person can do about it.
import { html, useState } from './vendor/preact.js';
import { mutate, navigate, toHash } from './client.js';
import { useRpc } from './store.js';
import { ActionButton, ErrorBox, Loading, StateBadge, Tabs, confirm, toast } from './ui.js';
import { DiffView } from './diff.js';
import { LogPlace } from './find.js';
import { LogView } from './logview.js';
import { visible } from './lines.js';
import { Comments, Decisions, Facts, History, Why } from './taskparts.js';
import { Attempts, Gates, Prompt } from './attempts.js';

const TABS = [['overview', 'Overview'], ['prompt', 'Prompt'], ['attempts', 'Attempts'], ['log', 'Log'], ['diff', 'Diff'], ['gate', 'Gate'], ['history', 'History']];
const LIVE = new Set(['running', 'validating']);
const TAKEN_UP = new Set(['done', 'failed', 'cancelled']);

async function act(method, params, words, refresh) {
  const answer = await mutate(method, params);
  toast(answer.note || words, { kind: 'good' });
  refresh();
}

const asked = (title, words, action, label, more = {}) =>
  confirm({ title, words, action, ...more, input: { label, value: '', isRequired: Boolean(more.isRequired), isLong: true } });

/** What can be done about it now; words that are given go along. */
function actionsOf(view, refresh) {
  const { id, state, held_at: heldAt } = view.task;
  const waits = state === 'validating' && view.is_asking;
  const run = (method, words, extra = {}) => act(method, { id, ...extra }, words, refresh);
  const withWords = async (title, words, action, method, done, more) => {
    const message = await asked(title, words, action, 'Words', more);
    if (message !== false) await run(method, done, { [more && more.field ? more.field : 'message']: message === true ? '' : message });
  };
  return [
    waits && ['Accept', () => run('task.accept', 'accepted'), { isPrimary: true }],
    waits && ['Reject', () => withWords(`Send ${id} back?`, 'What is wrong with it goes into the next prompt.', 'Send back', 'task.reject', 'sent back', { isRequired: true }), {}],
    (state === 'failed' || state === 'cancelled' || view.shown === 'scheduled') && ['Retry', () => run('task.retry', 'on the queue again'), { isPrimary: true }],
    TAKEN_UP.has(state) && ['Reopen', () => withWords(`Take up ${id} again?`, 'It goes back on the queue.', 'Reopen', 'task.reopen', 'taken up again'), {}],
    heldAt === null && state === 'open' && ['Hold', () => withWords(`Keep ${id} back?`, 'It is not given out until it is released.', 'Hold', 'task.hold', 'held'), {}],
    heldAt !== null && ['Release', () => run('task.release', 'released'), { isPrimary: true }],
    state === 'draft' && ['Open it', () => run('task.release', 'opened'), { isPrimary: true }],
    (state === 'open' || state === 'draft' || LIVE.has(state)) && ['Cancel', () => withWords(`Cancel ${id}?`, LIVE.has(state) ? 'Its attempt is ended. What it wrote is kept.' : 'It will not be worked on.', 'Cancel the task', 'task.cancel', 'cancelled', { isDangerous: true }), { isDanger: true }],
    ['Comment', () => withWords(`Say something about ${id}`, 'Whoever works on it next reads it.', 'Comment', 'task.comment', 'said', { isRequired: true, field: 'text' }), {}],
  ].filter(Boolean);
}

function Actions({ view, refresh }) {
  const run = (action) => async () => action();
  return html`<div class="bar actions" role="group" aria-label="What can be done">
    ${actionsOf(view, refresh).map(([words, action, kind]) => html`<${ActionButton} key=${words} ...${kind} onClick=${run(action)}>${words}<//>`)}
  </div>`;
}

/** Which attempt a tab is about: the newest, or the one that was chosen. */
function AttemptChoice({ attempts, chosen, onChoose }) {
  if (attempts.length < 2) return null;
  return html`<div class="bar"><label>Attempt <select value=${chosen} onChange=${(event) => onChoose(event.target.value)}>
    ${attempts.map((one) => html`<option value=${one.id}>${one.number}: ${one.outcome || one.state}</option>`)}
  </select></label></div>`;
}

const newestFirst = (attempts) => [...attempts].sort((one, other) => other.number - one.number);

function Body({ tab, detail, refresh, place }) {
  const attempts = newestFirst(detail.attempts);
  const [chosen, setChosen] = useState('');
  const [output, setOutput] = useState('');
  const { id } = detail.view.task;
  const toLog = () => navigate(toHash('task', id, 'log'));
  const wanted = place ? `${id}/${place.attempt}` : chosen;
  const attempt = attempts.find((one) => one.id === wanted) || attempts[0];
  const choice = html`<${AttemptChoice} attempts=${attempts} chosen=${attempt ? attempt.id : ''} onChoose=${(one) => { setChosen(one); if (place) toLog(); }} />`;
  const show = (attemptId, where, what = '') => { setChosen(attemptId); setOutput(what); navigate(toHash('task', id, where)); };
  const none = html`<p class="hint">It has not been worked on yet.</p>`;
  if (tab === 'prompt') return attempt ? html`${choice}<${Prompt} attemptId=${attempt.id} />` : none;
  if (tab === 'attempts') return attempt ? html`<${Attempts} attempts=${attempts} onShow=${show} />` : none;
  if (tab === 'log' && attempt && place) return html`${choice}<${LogPlace} attemptId=${attempt.id} place=${place} onLeave=${() => { setChosen(attempt.id); toLog(); }} />`;
  if (tab === 'log') return attempt ? html`${choice}<${LogView} attemptId=${attempt.id} output=${output || 'steps'} />` : none;
  if (tab === 'diff') return attempt ? html`${choice}<${DiffView} taskId=${id} attemptId=${chosen && attempt.head_commit ? attempt.id : ''} />` : none;
  if (tab === 'gate') return html`<${Gates} receipts=${detail.receipts} attempts=${attempts} />`;
  if (tab === 'history') return html`<${History} id=${id} />`;
  return html`
    <${Decisions} decisions=${detail.decisions} refresh=${refresh} />
    <${Why} id=${id} known=${detail.next_step} />
    <${Facts} detail=${detail} />
    <${Comments} comments=${detail.comments} />`;
}

export function TaskPage({ id, tab = 'overview', attempt, job, offset }) {
  const isAbout = (event) => event.task_id === id || event.type.startsWith('decision.');
  const { result: detail, error, refresh } = useRpc('task.show', { id }, { refreshOn: isAbout });
  const shown = TABS.some(([name]) => name === tab) ? tab : 'overview';
  if (!detail) {
    return html`<div class="page task"><h1>${id}</h1>${error ? html`<${ErrorBox} error=${error} onRetry=${refresh} />` : html`<${Loading} what=${`task ${id}`} />`}</div>`;
  }
  const { task } = detail.view;
  const place = attempt && job ? { attempt, job, offset: Number(offset) || 0 } : null;
  const open = detail.decisions.filter((one) => one.state === 'open').length;
  const tabs = TABS.map(([name, words]) => [name, name === 'attempts' && detail.attempts.length ? `${words} (${detail.attempts.length})` : name === 'overview' && open ? `${words} (${open} to answer)` : words]);
  return html`<div class="page task">
    <h1>${visible(task.title, 500)}</h1>
    <p class="bar"><code>${task.id}</code> <${StateBadge} state=${detail.view.shown} /> <span>${task.project_id}</span>
      ${detail.view.is_parked && html`<span>landed, waits for the checkout</span>`}
      <a href=${toHash('graph', task.id)}>graph</a></p>
    ${detail.next_step && html`<p class="next-step"><strong>Next: </strong>${visible(detail.next_step, 4000)}</p>`}
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    <${Actions} view=${detail.view} refresh=${refresh} />
    <${Tabs} tabs=${tabs} chosen=${shown} onChoose=${(name) => navigate(toHash('task', task.id, name))} />
    <${Body} key=${task.id} tab=${shown} detail=${detail} refresh=${refresh} place=${place} />
  </div>`;
}
