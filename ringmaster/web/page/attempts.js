// What was tried on a task: attempts, what each was told, and what its gates showed.
import { html, useState } from './vendor/preact.js';
import { useRpc } from './store.js';
import { Ago, Command, Empty, ErrorBox, Loading, StateBadge } from './ui.js';
import { formatCost, formatCount, formatDuration } from './words.js';
import { LogView } from './logview.js';
import { visible } from './lines.js';
import { Words } from './taskparts.js';

/** The prompt of one attempt as it was sent, without keys. */
export function Prompt({ attemptId }) {
  const { result, error, refresh } = useRpc('attempt.prompt_sent', { id: attemptId });
  if (error) return html`<${ErrorBox} error=${error} onRetry=${refresh} />`;
  if (!result) return html`<${Loading} what="the prompt" />`;
  return html`<section class="card" aria-label="The prompt that was sent">
    <p class="hint">What ${result.attempt_id} was told, ${formatCount(result.prompt.length)} characters; keys are left out.${result.is_truncated ? ' It is longer than this.' : ''} <code>${result.file}</code></p>
    <${Words} text=${result.prompt} limit=${1_000_000} />
  </section>`;
}

function AttemptCard({ one, onShow }) {
  const said = one.report && one.report.said;
  return html`<article class="card" aria-labelledby=${`attempt-${one.number}`}>
    <header class="bar"><h2 id=${`attempt-${one.number}`}>Attempt ${one.number}</h2><${StateBadge} state=${one.outcome || one.state} /><span class="grow"></span>
      <button type="button" onClick=${() => onShow(one.id, 'log', 'steps')}>Steps</button>
      <button type="button" onClick=${() => onShow(one.id, 'prompt')}>Prompt</button>
      ${one.head_commit && html`<button type="button" onClick=${() => onShow(one.id, 'diff')}>Diff</button>`}
      <button type="button" onClick=${() => onShow(one.id, 'log', 'stderr')}>Errors</button>
      ${one.outcome === 'gate_failed' && html`<button type="button" onClick=${() => onShow(one.id, 'gate')}>Gate</button>`}</header>
    ${one.reason && html`<p>${visible(one.reason, 4000)}</p>`}
    ${said && html`<blockquote><p class="hint">It said ${said.status}:</p><${Words} text=${said.summary || ''} limit=${20_000} /></blockquote>`}
    <dl class="facts">
      <dt>Agent</dt><dd>${one.agent}${one.model ? `, ${one.model}` : ''}${one.worker_id ? ` in ${one.worker_id}` : ''}${one.account ? `, account ${one.account}` : ''}</dd>
      <dt>Began</dt><dd><${Ago} at=${one.started_at} />${one.ended_at ? `, took ${formatDuration(one.ended_at - one.started_at)}` : ', runs'}</dd>
      ${(one.cost_usd > 0 || one.tokens_out > 0) && html`<dt>Cost</dt><dd>${formatCost(one.cost_usd)}, ${formatCount(one.tokens_in)} tokens in, ${formatCount(one.tokens_out)} out</dd>`}
      ${one.branch && html`<dt>Branch</dt><dd><code>${visible(one.branch, 300)}</code></dd>`}
      ${one.head_commit && html`<dt>Work</dt><dd><code>${one.base_commit.slice(0, 12)}</code> to <code>${one.head_commit.slice(0, 12)}</code></dd>`}
      ${one.landed_commit && html`<dt>Landed</dt><dd><code>${one.landed_commit.slice(0, 12)}</code> on ${visible(one.landed_ref, 300)}</dd>`}
      ${one.session_id && html`<dt>Conversation</dt><dd><code>${visible(one.session_id, 200)}</code></dd>`}
      <dt>Workspace</dt><dd><code>${one.workspace}</code></dd>
    </dl>
    <${Command} text=${`rmctl attempt show ${one.id}`} />
  </article>`;
}

export function Attempts({ attempts, onShow }) {
  return html`<div>${attempts.map((one) => html`<${AttemptCard} key=${one.id} one=${one} onShow=${onShow} />`)}</div>`;
}

const jobOf = (receipt) => receipt.job.split('/').pop();
// The gate of the base runs where the work's is red: is it the work's fault at all?
const isOfBase = (receipt) => jobOf(receipt).startsWith('base-');

function ReceiptCard({ receipt, isShown }) {
  const [isOpen, setOpen] = useState(isShown);
  const isBroken = receipt.result !== 'green';
  return html`<article class="card">
    <header class="bar"><h2>${jobOf(receipt)}</h2>${isOfBase(receipt) ? html`<span class="hint">on the base, without its work</span>` : ''}<${StateBadge} state=${receipt.result} /><span class="grow"></span>
      <button type="button" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${isOpen ? 'Hide its output' : 'Show its output'}</button></header>
    <dl class="facts">
      <dt>Ran</dt><dd><code>${visible(receipt.gate, 2000)}</code></dd>
      <dt>On</dt><dd>commit <code>${receipt.commit.slice(0, 12)}</code>${receipt.attempt_id ? ` of ${receipt.attempt_id}` : ''}</dd>
      <dt>Showed</dt><dd>${receipt.tests}${receipt.is_flaky ? '; it failed first, and passed when run again' : ''}, in ${formatDuration(receipt.wall_s)}</dd>
      ${receipt.started_at && html`<dt>Began</dt><dd><${Ago} at=${receipt.started_at} /></dd>`}
    </dl>
    ${isBroken && receipt.failed.length > 0 && html`<h3>Tests that failed</h3><ul>${receipt.failed.map((name) => html`<li><code>${visible(name, 1000)}</code></li>`)}</ul>`}
    ${isOpen && html`<${GateOutput} receipt=${receipt} />`}
  </article>`;
}

/** What a gate that has ended wrote: its end, as it lies in the file. */
function GateOutput({ receipt }) {
  const params = { id: receipt.attempt_id, stream: 'gate', job: jobOf(receipt), tail_lines: 2000, max_bytes: 500_000 };
  const { result, error, refresh } = useRpc('logs.read', params);
  if (error) return html`<${ErrorBox} error=${error} onRetry=${refresh} />`;
  if (!result) return html`<${Loading} what="its output" />`;
  return html`${result.offset > 0 && html`<p class="hint">The end of it; what lies before: rmctl logs ${receipt.attempt_id} -S gate</p>`}
    ${result.text ? html`<${Words} text=${result.text} limit=${600_000} />` : html`<p class="hint">It wrote nothing.</p>`}`;
}

/** Receipts of all gates, the newest first, and the gate that runs now. */
export function Gates({ receipts, attempts }) {
  const live = attempts.find((one) => !one.outcome);
  const newest = [...receipts].reverse();
  const shown = newest.findIndex((one) => one.result !== 'green' && !isOfBase(one));
  const runs = live && (live.state === 'validating' || live.state === 'landing');
  return html`<div>
    ${runs && html`<section class="card"><h2>What runs now</h2><${LogView} attemptId=${live.id} output="gate" isFixed=${true} /></section>`}
    ${!newest.length && !runs && html`<${Empty}>No gate has run for it yet.<//>`}
    ${newest.map((one, index) => html`<${ReceiptCard} key=${`${one.attempt_id} ${one.job}`} receipt=${one} isShown=${index === shown} />`)}
  </div>`;
}
