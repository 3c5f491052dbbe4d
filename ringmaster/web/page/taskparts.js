// Parts of a task's page: what it is, why it is so, what is asked, what was said and what has happened.
import { html, useState } from './vendor/preact.js';
import { mutate, toHash } from './client.js';
import { useRpc } from './store.js';
import { ActionButton, Ago, Command, ErrorBox, Loading, StateBadge, TaskLink, toast } from './ui.js';
import { formatCost, formatDuration, formatTime } from './words.js';
import { Scroll, visible } from './lines.js';

/** Text of many lines as it was written. */
export function Words({ text, limit = 200_000 }) {
  const lines = text.length > limit ? text.slice(0, limit) : text;
  const shown = `${lines.split('\n').map((line) => visible(line, limit)).join('\n')}${text.length > limit ? '\n… there is more' : ''}`;
  return html`<${Scroll} as="pre" className="words" label="Text">${shown}<//>`;
}

function Fact({ name, children }) {
  return html`<dt>${name}</dt><dd>${children}</dd>`;
}

const links = (ids) => ids.map((id, index) => html`${index ? ', ' : ''}<a href=${toHash('task', id)}>${id}</a>`);
const PRIORITIES = ['0, most urgent', '1, high', '2, normal', '3, low', '4, lowest'];

function limitsOf(limits) {
  return [
    limits.wall_s !== null && limits.wall_s !== undefined && `${formatDuration(limits.wall_s)} in all`,
    limits.idle_s !== null && limits.idle_s !== undefined && `${formatDuration(limits.idle_s)} without output`,
    limits.turns && `${limits.turns} turns`,
    limits.budget_usd !== null && limits.budget_usd !== undefined && formatCost(limits.budget_usd),
  ].filter(Boolean).join(', ');
}

export function Facts({ detail }) {
  const { task } = detail.view;
  const limits = limitsOf(task.limits);
  const cost = detail.attempts.reduce((sum, one) => sum + one.cost_usd, 0);
  return html`<section class="card" aria-label="What it is">
    <h2>What it is</h2>
    <dl class="facts">
      <${Fact} name="Type">${task.type}, priority ${PRIORITIES[task.priority] || task.priority}<//>
      <${Fact} name="Attempts">${task.counted_attempts} of ${task.max_attempts} counted, ${task.attempt_number} in all${cost > 0 ? `, ${formatCost(cost)}` : ''}<//>
      ${(task.agent || task.model) && html`<${Fact} name="Agent">${task.agent} ${task.model}<//>`}
      ${task.labels.length > 0 && html`<${Fact} name="Labels">${task.labels.map((label) => visible(label, 200)).join(', ')}<//>`}
      ${task.capabilities.length > 0 && html`<${Fact} name="Needs">${task.capabilities.join(', ')}<//>`}
      ${limits && html`<${Fact} name="Limits">${limits}<//>`}
      ${task.children > 0 && html`<${Fact} name="Children">${task.done_children} of ${task.children} done, ${task.open_children} open<//>`}
      ${task.deadline_at !== null && html`<${Fact} name="Deadline">${formatTime(task.deadline_at)}<//>`}
      ${task.held_at !== null && html`<${Fact} name="Held since">${formatTime(task.held_at)}<//>`}
      ${task.not_before_at !== null && html`<${Fact} name="Not before">${formatTime(task.not_before_at)}<//>`}
      ${detail.depends.length > 0 && html`<${Fact} name="Depends on"><ul class="plain">${detail.depends.map((one) => html`<li>${one.words}: <${TaskLink} id=${one.id} title=${visible(one.title, 200)} />, ${one.state}${one.is_open ? ', in the way' : ''}</li>`)}</ul><//>`}
      ${detail.dependents.length > 0 && html`<${Fact} name="Waited for by">${links(detail.dependents)}${detail.left_out.dependents ? ` and ${detail.left_out.dependents} more` : ''}<//>`}
      ${task.done_by && html`<${Fact} name="Done by">${task.done_by}${task.landed_commit ? html`, commit <code>${task.landed_commit.slice(0, 12)}</code>` : ''}<//>`}
      <${Fact} name="Added"><${Ago} at=${task.created_at} /><//>
      ${detail.imported && html`<${Fact} name="Imported">from ${detail.imported.source}<//>`}
    </dl>
    ${task.description && html`<h3>Description</h3><${Words} text=${task.description} />`}
    ${task.acceptance.length > 0 && html`<h3>Accept when</h3><ul>${task.acceptance.map((one) => html`<li>${visible(one, 10_000)}</li>`)}</ul>`}
  </section>`;
}

/** What is in the way of something, its id as a link. */
function Link({ link }) {
  const words = visible(link.words, 1000);
  const id = link.kind === 'task' || link.kind === 'dependency' ? html`<a href=${toHash('task', link.id)}>${link.id}</a>` : link.id;
  const at = words.indexOf(link.id);
  return at < 0 ? html`${words} ${id}` : html`${words.slice(0, at)}${id}${words.slice(at + link.id.length)}`;
}

/** known: what the page says of it already. */
export function Why({ id, known }) {
  const isAbout = (event) => event.task_id === id || /^(queue|project|worker|account|decision)\./.test(event.type);
  const { result: why, error, refresh } = useRpc('task.why', { id }, { refreshOn: isAbout, every_s: 30 });
  if (error) return html`<${ErrorBox} error=${error} onRetry=${refresh} />`;
  if (!why) return html`<${Loading} what="why" />`;
  return html`<section class="card" aria-label="Why it is so">
    <h2>Why</h2>
    ${why.first !== known && html`<p>${visible(why.first, 4000)}</p>`}
    ${why.obstacles.length > 0 && html`<ol class="obstacles">${why.obstacles.map((one) => html`<li>
      ${visible(one.words, 2000)}${one.since_at !== null && one.since_at !== undefined ? html` <span class="hint">· <${Ago} at=${one.since_at} /></span>` : ''}
      ${one.command && html` <${Command} text=${one.command} />`}
      ${one.chain.length > 0 && html`<ul>${one.chain.map((link) => html`<li><${Link} link=${link} /></li>`)}</ul>`}
    </li>`)}</ol>`}
    ${why.left_out > 0 && html`<p>and ${why.left_out} more in its way</p>`}
    ${why.doing && html`<p>${visible(why.doing.words, 2000)}${why.doing.since_at ? html`; it began <${Ago} at=${why.doing.since_at} />` : ''}${why.doing.attempt_id ? html`, <a href=${toHash('task', id, 'log')}>follow ${why.doing.attempt_id}</a>` : ''}</p>`}
    ${why.ending && html`<p>${visible(why.ending.words, 4000)}${why.ending.outcome ? ` (${why.ending.outcome}${why.ending.reason ? `: ${visible(why.ending.reason, 2000)}` : ''})` : ''}</p>`}
    ${why.ahead !== null && why.ahead !== undefined && html`<p>${why.ahead} ready ${why.ahead === 1 ? 'task goes' : 'tasks go'} before it.</p>`}
  </section>`;
}

/** A question with its answers. isLinked: it says of which task it is, where the page is not that task's. */
export function Question({ decision, refresh, isLinked = false }) {
  const [message, setMessage] = useState('');
  const [words, setWords] = useState('');
  const answer = async (text) => {
    const done = await mutate('decision.answer', { id: decision.id, answer: text, message });
    toast(done.note || 'answered', { kind: 'good' });
    refresh();
  };
  return html`<article class="card question" aria-labelledby=${`q-${decision.id}`}>
    <h2 id=${`q-${decision.id}`}>${visible(decision.question, 4000)}</h2>
    <p class="hint">${decision.kind.replaceAll('_', ' ')}, ${decision.urgency}, asked <${Ago} at=${decision.created_at} />${decision.default_at ? html`; “${visible(decision.default_answer, 300)}” is given at ${formatTime(decision.default_at)} if nobody answers` : ''}</p>
    ${isLinked && decision.task_id && html`<p><${TaskLink} id=${decision.task_id} /> ${decision.project_id}</p>`}
    ${decision.detail && html`<${Words} text=${decision.detail} />`}
    ${decision.recommendation && html`<p>It would answer: ${visible(decision.recommendation, 2000)}</p>`}
    ${decision.options.length === 0 && html`<label class="field">Answer<input type="text" value=${words} onInput=${(event) => setWords(event.target.value)} /></label>`}
    <div class="bar">${decision.options.length > 0
    ? decision.options.map((option) => html`<${ActionButton} key=${option} isPrimary=${option === decision.recommendation} onClick=${() => answer(option)}>${visible(option, 300)}<//>`)
    : html`<${ActionButton} isPrimary=${true} onClick=${() => answer(words)}>Answer<//>`}</div>
    <details><summary>Words for the next prompt</summary><label class="field"><span class="unseen">Words for the next prompt</span><textarea rows="2" value=${message} onInput=${(event) => setMessage(event.target.value)}></textarea></label></details>
  </article>`;
}

/** Open questions to be answered, and what was answered. */
export function Decisions({ decisions, refresh }) {
  const open = decisions.filter((one) => one.state === 'open');
  const over = decisions.filter((one) => one.state !== 'open');
  return html`
    ${open.map((one) => html`<${Question} key=${one.id} decision=${one} refresh=${refresh} />`)}
    ${over.length > 0 && html`<details class="card"><summary>${over.length} answered before</summary><ul>${over.map((one) => html`<li>
      ${visible(one.question, 2000)} <strong>${one.answer ? visible(one.answer, 1000) : one.state}</strong>${one.answered_by ? ` by ${one.answered_by}` : ''}${one.answered_at ? html`, <${Ago} at=${one.answered_at} />` : ''}${one.message ? html`<${Words} text=${one.message} />` : ''}</li>`)}</ul></details>`}`;
}

export function Comments({ comments }) {
  if (!comments.length) return null;
  return html`<section class="card" aria-label="Comments"><h2>Comments</h2>
    ${comments.map((one) => html`<article><p class="hint">${visible(one.author, 200)}, <${Ago} at=${one.at} /></p><${Words} text=${one.text} /></article>`)}
  </section>`;
}

export function History({ id }) {
  const { result, error, refresh } = useRpc('task.history', { id }, { refreshOn: (event) => event.task_id === id });
  if (error) return html`<${ErrorBox} error=${error} onRetry=${refresh} />`;
  if (!result) return html`<${Loading} what="its history" />`;
  const undo = async (line) => {
    const done = await mutate('task.undo', { target: String(line.seq) });
    toast(done.note || 'taken back', { kind: 'good' });
    refresh();
  };
  return html`<${Scroll} className="scroll card" label="History"><table>
    <caption>What has happened, the newest first</caption>
    <thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Who</th><th scope="col" class="number">Event</th><th scope="col">Undo</th></tr></thead>
    <tbody>${[...result.lines].reverse().map((line) => html`<tr key=${line.seq}>
      <td>${formatTime(line.at)}</td><td class="wrap">${visible(line.words, 4000)} <span class="hint">${line.type}</span></td><td>${visible(line.actor, 200)}</td><td class="number">${line.seq}</td>
      <td>${line.undone_by ? `undone by ${line.undone_by}` : line.can_undo ? html`<${ActionButton} title=${`Undo event ${line.seq}`} onClick=${() => undo(line)}>Undo<//>` : ''}</td></tr>`)}</tbody>
  </table>${!result.is_whole && html`<p class="hint">Older events are left out: rmctl history ${id} -n 10000</p>`}<//>`;
}
