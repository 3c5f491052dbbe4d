// What needs a person first: questions, then what failed or stands still, each with what can be done about it.

import { mutate } from './client.js';
import { refreshAll, useRpc, useStore } from './store.js';
import { ActionButton, Ago, Command, confirm, Empty, ErrorBox, Loading, StateBadge, TaskLink, toast } from './ui.js';
import { html, useState } from './vendor/preact.js';
import { formatCost, plural } from './words.js';

const DAY_S = 86_400;
const FAILED_SHOWN = 50;
const GRAVE_ANSWERS = { cancel: 'cancels the task', revert: 'takes the commit back', give_up: 'ends the attempt', close: 'calls the task done' };

async function say(method, params, words) {
  const answer = await mutate(method, params);
  toast(answer.note || words, { kind: 'good' });
  refreshAll();
}

export function DecisionCard({ decision }) {
  const [words, setWords] = useState('');
  const { id, options, recommendation } = decision;
  const answer = async (chosen) => {
    if (chosen in GRAVE_ANSWERS) {
      const isSure = await confirm({
        title: `Answer “${chosen}”?`, words: `${decision.question}\n\nThis ${GRAVE_ANSWERS[chosen]}.`, action: chosen, isDangerous: true,
      });
      if (!isSure) return;
    }
    await say('decision.answer', options.length ? { id, answer: chosen, message: words } : { id, answer: chosen }, `answered ${id}`);
  };
  const isOpen = !options.length;
  const about = decision.task_id || decision.project_id;
  return html`<article class="card ask" aria-label=${`Question ${id}`}>
    <p class="hint">${decision.urgency === 'high' ? html`<strong>urgent</strong> · ` : ''}${decision.kind.replace(/_/g, ' ')} · ${decision.task_id
      ? html`<${TaskLink} id=${decision.task_id} />` : about} · <${Ago} at=${decision.created_at} /> · <code>${id}</code></p>
    <h3 class="said">${decision.question}</h3>
    ${decision.detail && html`<details open=${decision.detail.length < 400}><summary>Evidence</summary><pre class="words-of" tabIndex="0">${decision.detail}</pre></details>`}
    ${recommendation && html`<p>Recommended: <strong>${recommendation}</strong></p>`}
    ${decision.default_answer && html`<p class="hint">Answered “${decision.default_answer}” by itself <${Ago} at=${decision.default_at} /></p>`}
    <label class="field"><span>${isOpen ? 'Answer' : 'Words that go along (optional)'}</span>
      <textarea rows=${isOpen ? 2 : 1} value=${words} onInput=${(event) => setWords(event.target.value)}></textarea></label>
    <div class="row">${isOpen
      ? html`<${ActionButton} isPrimary disabled=${!words.trim()} onClick=${() => answer(words.trim())}>Answer<//>`
      : options.map((option) => html`<${ActionButton} key=${option} isPrimary=${option === recommendation} isDanger=${option === 'cancel' || option === 'revert'}
          onClick=${() => answer(option)}>${option.replace(/_/g, ' ')}<//>`)}
    </div>
  </article>`;
}

function Section({ title, count, children }) {
  if (!count) return null;
  return html`<section class="section" aria-label=${title}><h2>${title} <span class="muted">${count}</span></h2>${children}</section>`;
}

function FailedTask({ view }) {
  const { task } = view;
  return html`<li class="card bad"><div class="row"><div class="grow">
      <p><${TaskLink} id=${task.id} title=${task.title} /></p>
      <p class="hint"><${StateBadge} state=${view.shown} /> · ${plural(task.attempt_number, 'attempt')} · <${Ago} at=${task.updated_at} />${task.failure ? ` · ${task.failure}` : ''}</p></div>
    <${ActionButton} label=${`Retry ${task.id}`} onClick=${() => say('task.retry', { id: task.id }, `${task.id} is on the queue again`)}>Retry<//></div></li>`;
}

function FailedGate({ attempt }) {
  return html`<li class="card warn"><p><${TaskLink} id=${attempt.task_id} title=${`attempt ${attempt.number}`} /> · <a href=${`#/task/${encodeURIComponent(attempt.task_id)}/gate`}>what the gate said</a></p>
    <p class="hint"><${StateBadge} state=${attempt.outcome} /> · <${Ago} at=${attempt.ended_at} />${attempt.reason ? ` · ${attempt.reason}` : ''}</p></li>`;
}

// The newest attempts of a day whose gate was red, of tasks that went on to nothing better and have not failed for good.
function redGates(attempts, failedIds, now) {
  const seen = new Set();
  return attempts.filter((attempt) => {
    if (seen.has(attempt.task_id)) return false;
    seen.add(attempt.task_id);
    return attempt.outcome === 'gate_failed' && attempt.ended_at > now - DAY_S && !failedIds.has(attempt.task_id);
  });
}

function standstills(status, agents) {
  const found = [];
  if (status.health.state !== 'ok') found.push({ key: 'health', title: `The daemon is ${status.health.state}`, words: status.health.words });
  for (const one of status.shortages) found.push({ key: one.kind + one.id, title: one.words, words: '', command: one.command });
  if (status.queue_pause) {
    found.push({
      key: 'queue', title: `The queue is paused by ${status.queue_pause.actor}`, words: status.queue_pause.reason, at: status.queue_pause.paused_at,
      act: ['Resume the queue', () => say('queue.resume', {}, 'the queue goes on')],
    });
  }
  for (const { project_id: id, reason } of status.paused) {
    found.push({ key: `project ${id}`, title: `Project ${id} is paused`, words: reason, act: [`Resume ${id}`, () => say('queue.resume', { project_id: id }, `${id} goes on`)] });
  }
  for (const one of status.resting) found.push({ key: one.account, title: `Account ${one.label || one.account} rests`, words: one.reason, until: one.until_at, command: `rmctl agent test ${one.agent}` });
  for (const one of agents || []) {
    if (one.paused_at) found.push({ key: `agent ${one.name}`, title: `Agent ${one.name} is not started`, words: one.paused_reason, at: one.paused_at, command: `rmctl agent test ${one.name}` });
  }
  for (const one of status.budgets) found.push({ key: `budget ${one.project_id}`, title: `The budget of ${one.project_id || 'all projects'} is used up for today`, words: '' });
  if (!status.health.is_kept) found.push({ key: 'kept', title: 'Nobody starts the daemon again after a crash', words: '', command: 'rmctl daemon start', isMild: true });
  return found;
}

function Standstill({ one }) {
  return html`<li class=${`card ${one.isMild ? '' : 'warn'}`}><div class="row"><div class="grow">
      <p><strong>${one.title}</strong>${one.at ? html` <span class="hint">since <${Ago} at=${one.at} /></span>` : ''}${one.until ? html` <span class="hint">until <${Ago} at=${one.until} /></span>` : ''}</p>
      ${one.words && html`<p>${one.words}</p>`}${one.command && html`<p><${Command} text=${one.command} /></p>`}</div>
    ${one.act && html`<${ActionButton} onClick=${one.act[1]}>${one.act[0]}<//>`}</div></li>`;
}

function BadGeneration({ generation }) {
  return html`<div class="card bad"><p><strong>Generation ${generation.id} was taken back</strong> <span class="hint"><${Ago} at=${generation.settled_at} /></span></p>
    <p>${generation.reason}</p><p><a href="#/generations">Receipts and the way back</a></p></div>`;
}

function Figures({ status }) {
  const { queue, workers } = status;
  const seats = workers.filter(({ shown }) => shown === 'working').length;
  const cost = status.budgets.reduce((sum, one) => sum + (one.spent_usd || 0), 0);
  return html`<ul class="figures" aria-label="The queue">
    ${['ready', 'running', 'validating', 'landing', 'blocked', 'scheduled', 'waiting', 'failed', 'done'].filter((name) => queue[name] || name === 'running' || name === 'done')
      .map((name) => html`<li key=${name}><strong>${queue[name]}</strong> ${name}</li>`)}
    <li><strong>${seats}</strong> of ${plural(workers.length, 'seat')} at work</li>${cost ? html`<li><strong>${formatCost(cost)}</strong> today</li>` : ''}</ul>`;
}

export function AttentionPage() {
  const status = useStore((state) => state.status);
  const agents = useStore((state) => state.agents);
  const now = useStore((state) => state.now);
  const failed = useRpc('task.list', { state: ['failed', 'poisoned'], limit: FAILED_SHOWN }, { refreshOn: ['task.'] });
  const recent = useRpc('attempt.list', { limit: 200 }, { refreshOn: ['attempt.ended'] });
  if (!status) return html`<h1>What needs you</h1><${Loading} />`;
  const failedTasks = failed.result ? failed.result.tasks : [];
  const gates = recent.result ? redGates(recent.result.attempts, new Set(failedTasks.map(({ task }) => task.id)), now) : [];
  const still = standstills(status, agents);
  const reload = status.last_reload?.state === 'bad' ? status.last_reload : null;
  const count = status.decisions.length + failedTasks.length + gates.length + still.filter(({ isMild }) => !isMild).length + status.parked.length + (reload ? 1 : 0);
  return html`
    <h1>${count ? 'What needs you' : 'Nothing needs you'}</h1>
    <${Figures} status=${status} />
    ${failed.error && html`<${ErrorBox} error=${failed.error} onRetry=${failed.refresh} />`}
    <${Section} title="Questions" count=${status.decisions.length}>${status.decisions.map((decision) => html`<${DecisionCard} key=${decision.id} decision=${decision} />`)}<//>
    <${Section} title="Taken back" count=${reload ? 1 : 0}>${reload && html`<${BadGeneration} generation=${reload} />`}<//>
    <${Section} title="Failed" count=${failedTasks.length}><ul class="list">${failedTasks.map((view) => html`<${FailedTask} key=${view.task.id} view=${view} />`)}</ul>
      ${failed.result?.next_cursor && html`<p>There are more: <a href="#/board">the board</a></p>`}<//>
    <${Section} title="Failed gates" count=${gates.length}><ul class="list">${gates.map((attempt) => html`<${FailedGate} key=${attempt.id} attempt=${attempt} />`)}</ul><//>
    <${Section} title="Stands still" count=${still.length}><ul class="list">${still.map((one) => html`<${Standstill} key=${one.key} one=${one} />`)}</ul><//>
    <${Section} title="Landed, not yet in your checkout" count=${status.parked.length}><ul class="list">${status.parked.map((one) => html`
      <li key=${one.project_id} class="card"><p><strong>${one.project_id}</strong>: <code>${one.ref}</code> at <code>${one.commit.slice(0, 12)}</code></p><p class="hint">${one.reason}</p><p><${Command} text=${one.command} /></p></li>`)}</ul><//>
    ${count === 0 && html`<${Empty}>${status.projects ? html`Work goes on by itself. <a href="#/board">The board</a> has all of it.` : html`There is no project yet: <${Command} text="rmctl project add PATH" />`}<//>`}`;
}
