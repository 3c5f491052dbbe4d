// A row of a log: what kind of step it is, how that ended, and its text, with what is searched for marked.
import { html } from './vendor/preact.js';
import { leftOut, visible } from './lines.js';
import { formatTime } from './words.js';

const KINDS = { text: 'says', tool: 'tool', command: 'runs', file: 'file', usage: 'usage', other: 'other', more: '', line: '', gap: 'gap', job: 'job', note: 'note' };
const ENDED = { command: 'ran' };

function Marked({ text, words }) {
  if (!words) return text;
  const parts = [];
  const low = text.toLowerCase();
  const needle = words.toLowerCase();
  // Where lower case has another length, places would be wrong: shown without marks.
  if (low.length !== text.length) return text;
  let at = 0;
  for (let next = low.indexOf(needle); next >= 0 && parts.length < 200; next = low.indexOf(needle, at)) {
    parts.push(text.slice(at, next), html`<mark>${text.slice(next, next + needle.length)}</mark>`);
    at = next + needle.length;
  }
  parts.push(text.slice(at));
  return parts;
}

/** row: of a `LogBuffer`. isStep: whether its kind is said. words: what is searched for, '' for nothing. */
export function LogText({ row, isStep, words = '' }) {
  const { end } = row;
  const text = visible(end ? row.text.slice(end.length) : row.text);
  const kind = isStep && html`<span class="log-kind" title=${row.isFirst && row.at ? formatTime(row.at) : ''}>${row.isFirst ? (end && ENDED[row.kind]) || KINDS[row.kind] || row.kind : ''}</span>`;
  const mark = end && html`<span class=${end.isFailed ? 'log-end log-failed' : 'log-end'}>${end.words}</span>`;
  return html`${kind}${mark}<span class="log-text"><${Marked} text=${text} words=${words} />${leftOut(row.text)}</span>`;
}
