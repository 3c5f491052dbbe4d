// Generations of the daemon itself: what their gates showed, what they did, and the way back.
import { html, useState } from './vendor/preact.js';
import { mutate, rpc } from './client.js';
import { useRpc } from './store.js';
import { ActionButton, Ago, Command, Empty, ErrorBox, Loading, StateBadge, confirm, openDialog, toast } from './ui.js';
import { Scroll } from './lines.js';
import { formatBytes, formatCost, formatDuration, formatTime } from './words.js';

const EVENTS = ['generation.', 'reload.', 'rollout.', 'daemon.'];
const SIGNS = { passed: '✓', failed: '✗', skipped: '–', retry: '↻', asks: '?', unknown: '?' };
const percent = (share) => (share === null || share === undefined ? '' : `${Math.round(share * 100)} %`);
const known = (value, format) => (value === null || value === undefined ? '' : format(value));

function Plan({ answer, close }) {
  const plan = answer.plan;
  return html`<div>
    <h2 id="dialog-title">What a reload would take</h2>
    <p>${answer.words}</p>
    ${plan && html`<p>From ${plan.source}${plan.commit ? `, commit ${plan.commit.slice(0, 12)}` : ''}. Its gate: ${plan.stages.join(', ')}.</p>
      <ul class="plan">${plan.files.slice(0, 200).map((file) => html`<li><code>${file}</code></li>`)}</ul>
      ${plan.files.length > 200 && html`<p>and ${plan.files.length - 200} more</p>`}`}
    <div class="bar"><button type="button" onClick=${() => close(false)}>Close</button></div>
  </div>`;
}

async function look() {
  const answer = await rpc('reload.request', { is_dry_run: true });
  await openDialog(Plan, { answer });
}

async function reload(refresh) {
  const answer = await mutate('reload.request', {});
  toast(answer.words, { kind: answer.state === 'paused' ? 'bad' : 'good' });
  refresh();
}

async function undo(view, refresh) {
  const id = view && view.generation.id;
  const isSure = await confirm({
    title: id ? `Go back to generation ${id}?` : 'Go back to the good generation before this one?',
    words: 'The daemon goes over to it in place: agents go on working, and what it runs now is kept.',
    action: 'Go back',
    isDangerous: true,
  });
  if (!isSure) return;
  const answer = await mutate('rollout.undo', id ? { generation: id } : {});
  toast(answer.words, { kind: 'good' });
  refresh();
}

function Receipts({ receipts }) {
  if (!receipts.length) return html`<p class="hint">No gate ran: it was there from the beginning, or its gate has not begun.</p>`;
  return html`<${Scroll} label="What its gate showed"><table>
    <caption>What its gate showed</caption>
    <thead><tr><th scope="col">Stage</th><th scope="col">Result</th><th scope="col" class="number">Took</th><th scope="col">Words</th></tr></thead>
    <tbody>${receipts.map((one) => html`<tr>
      <th scope="row">${one.stage}</th>
      <td class=${`result-${one.result}`}><span aria-hidden="true">${SIGNS[one.result] || '?'}</span> ${one.result}</td>
      <td class="number">${formatDuration(one.wall_s)}</td><td class="wrap">${one.words}</td></tr>`)}</tbody>
  </table><//>`;
}

function measuresOf(view) {
  const one = view.generation.measures;
  return [
    ['Attempts that ended', known(one.attempts, (count) => `${count}, ${one.succeeded ?? 0} succeeded${view.success_rate === null || view.success_rate === undefined ? '' : ` (${percent(view.success_rate)})`}`)],
    ['Cost', known(one.cost_usd, formatCost)],
    ['Cost for each success', known(view.cost_per_success_usd, formatCost)],
    ['Work for each success', known(view.work_per_success_s, formatDuration)],
    ['Requests answered', known(one.calls, (count) => count.toLocaleString())],
    ['Answers, 99 of 100 within', known(one.rpc_p99_s, (s) => `${(s * 1000).toFixed(1)} ms`)],
    ['Errors of its own', known(one.internal_errors, String)],
    ['Longest delay of its loop', known(one.lag_s, (s) => `${(s * 1000).toFixed(1)} ms`)],
    ['Memory', known(one.rss_bytes, formatBytes)],
  ].filter(([, value]) => value !== '');
}

function GenerationCard({ view, refresh }) {
  const one = view.generation;
  const measures = measuresOf(view);
  const failed = one.receipts.filter((receipt) => receipt.result === 'failed');
  const [isOpen, setOpen] = useState(view.is_running || one.state === 'bad' || one.state === 'trial');
  const canGoBack = one.state === 'good' && !view.is_running;
  return html`<article class="card generation" aria-labelledby=${`generation-${one.id}`}>
    <header class="bar">
      <h2 id=${`generation-${one.id}`}>Generation ${one.id}</h2>
      <${StateBadge} state=${one.state} />
      ${view.is_running && html`<strong>runs now</strong>`}
      ${view.is_good && html`<span>boots at a start</span>`}
      <span class="grow"></span>
      ${canGoBack && html`<${ActionButton} onClick=${() => undo(view, refresh)}>Go back to it<//>`}
      <button type="button" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? 'Less' : 'More'}</button>
    </header>
    ${one.reason && html`<p class=${one.state === 'bad' ? 'why-bad' : ''}><strong>${one.state === 'bad' ? 'Why it is bad: ' : 'Why: '}</strong>${one.reason}</p>`}
    ${one.state === 'bad' && failed.length > 0 && html`<ul>${failed.map((receipt) => html`<li>${receipt.stage} failed: ${receipt.words}</li>`)}</ul>`}
    ${isOpen && html`
      <dl class="facts">
        <dt>Release</dt><dd><code>${one.release}</code></dd>
        <dt>From</dt><dd>${one.source}${one.project_id ? ` of ${one.project_id}` : ''}${one.commit ? html`, commit <code>${one.commit.slice(0, 12)}</code>` : ''}</dd>
        ${one.parent > 0 && html`<dt>Made by</dt><dd>generation ${one.parent}</dd>`}
        <dt>Made</dt><dd><${Ago} at=${one.created_at} /></dd>
        ${one.tried_at !== null && html`<dt>Tried</dt><dd>${formatTime(one.tried_at)}</dd>`}
        ${one.settled_at !== null && html`<dt>Settled</dt><dd>${formatTime(one.settled_at)}</dd>`}
      </dl>
      <${Receipts} receipts=${one.receipts} />
      ${measures.length > 0 && html`<h3>What it did</h3><dl class="facts">${measures.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`}`}
  </article>`;
}

export function GenerationsPage() {
  const [limit, setLimit] = useState(20);
  const status = useRpc('rollout.status', {}, { refreshOn: EVENTS });
  const history = useRpc('rollout.history', { limit }, { refreshOn: EVENTS });
  const refresh = () => { status.refresh(); history.refresh(); };
  const error = status.error || history.error;
  const now = status.result;
  const views = history.result ? history.result.generations : [];
  return html`<div class="page generations">
    <h1>Generations</h1>
    ${error && html`<${ErrorBox} error=${error} onRetry=${refresh} />`}
    ${!now && !error && html`<${Loading} what="generations" />`}
    ${now && html`<section class="card" aria-label="Where reloading stands">
      <p>Generation <strong>${now.running}</strong> answers; a start boots <strong>${now.good || 'none yet'}</strong>.
        ${now.step && html` <span role="status">Generation ${now.candidate} is on its way: ${now.step}.</span>`}</p>
      ${now.words && html`<p class="hint">${now.words}</p>`}
      ${now.decision_id && html`<p>It waits for an answer: <a href="#/">decision ${now.decision_id}</a></p>`}
      ${now.bad_release && html`<p class="why-bad">${now.bad_release.question} <a href="#/">Answer it</a></p>`}
      <div class="bar">
        <${ActionButton} isPrimary=${true} onClick=${() => reload(refresh)}>Reload<//>
        <${ActionButton} onClick=${look}>What would be taken?<//>
        <${ActionButton} isDanger=${true} onClick=${() => undo(null, refresh)}>Undo<//>
        <${Command} text="rmctl rollout status" />
      </div>
    </section>`}
    ${history.result && !views.length && html`<${Empty}>There is no generation yet: this daemon has not reloaded.<//>`}
    ${views.map((view) => html`<${GenerationCard} key=${view.generation.id} view=${view} refresh=${refresh} />`)}
    ${views.length >= limit && html`<button type="button" onClick=${() => setLimit(limit * 5)}>Older generations</button>`}
  </div>`;
}
