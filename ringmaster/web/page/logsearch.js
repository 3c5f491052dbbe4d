// A search through the whole log of one attempt, of which the log view holds a part; a match leads to its place.
import { html, useEffect, useRef, useState } from './vendor/preact.js';
import { rpc, toHash } from './client.js';
import { ActionButton, ErrorBox, toastError } from './ui.js';
import { visible } from './lines.js';
import { formatTime, plural } from './words.js';

const AT_ONCE = 50;
const RESTS_MS = 250;
const BEFORE_LINES = 300;
const AFTER_BYTES = 65_536;
const MOST_READS = 50;
const MOST_BYTES = 1_000_000;

const NOTHING = { key: '', matches: [], cursor: '', note: '', error: null };

/** Steps of the attempt that hold the words, asked for once the words have rested; a late answer is dropped. */
function useMatches(attemptId, words) {
  const [state, setState] = useState(NOTHING);
  const asked = useRef('');
  const key = words.trim() ? JSON.stringify([attemptId, words.trim()]) : '';
  const ask = async (cursor) => {
    asked.current = key;
    try {
      const answer = await rpc('logs.search', { pattern: words.trim(), attempt_id: attemptId, limit: AT_ONCE, cursor });
      if (asked.current !== key) return;
      setState((old) => ({ key, matches: [...(cursor ? old.matches : []), ...answer.matches], cursor: answer.cursor, note: answer.note, error: null }));
    } catch (error) {
      if (asked.current === key) setState((old) => ({ ...(cursor ? old : NOTHING), key, error }));
    }
  };
  useEffect(() => {
    asked.current = key;
    if (!key) return undefined;
    const timer = setTimeout(() => ask(''), RESTS_MS);
    return () => clearTimeout(timer);
  }, [key]);
  return { ...(state.key === key ? state : NOTHING), isOver: !key || state.key === key, more: () => ask(state.cursor), again: () => ask('') };
}

const keyOf = (match) => `${match.job} ${match.offset} ${match.snippet}`;

function told(match) {
  const end = match.exit_code === null || match.exit_code === undefined ? (match.is_failed ? ', failed' : '') : `, exit ${match.exit_code}`;
  return `${match.kind}${end}`;
}

/** What the whole log has of these words. goTo(match): lead there; isPartial: the log view holds less than all of it. */
export function WholeLog({ attemptId, words, goTo }) {
  const { matches, cursor, note, error, isOver, more, again } = useMatches(attemptId, words);
  const [chosen, setChosen] = useState('');
  const go = (match) => { setChosen(keyOf(match)); goTo(match).catch(toastError); };
  if (!words.trim()) return null;
  return html`<section class="whole-log" aria-label="Matches in the whole log">
    <p class="bar"><span role="status" class="hint grow">${isOver ? (error ? '' : `Whole log: ${matches.length ? plural(matches.length, 'step') : 'no step'}${cursor ? ' or more' : ''} with ${/\s/.test(words.trim()) ? 'all these words' : 'this word'}`) : 'Whole log: looking…'}</span>
      <a href=${toHash('find', words.trim())}>Find in all attempts</a></p>
    ${error && html`<${ErrorBox} error=${error} onRetry=${again} />`}
    ${note && html`<p class="hint">${note}</p>`}
    ${matches.length > 0 && html`<ol>${matches.map((match) => html`<li key=${keyOf(match)}>
      <button type="button" class="plain" aria-current=${chosen === keyOf(match) ? 'true' : undefined} onClick=${() => go(match)}>
        <span class=${match.is_failed ? 'problem' : 'muted'}>${told(match)}</span>
        <code class="cut">${visible(match.snippet.replaceAll('\n', ' '), 300)}</code>
        <span class="muted">${match.at ? formatTime(match.at) : ''}</span></button></li>`)}
      ${cursor && html`<li><${ActionButton} onClick=${more}>More matches<//></li>`}</ol>`}
  </section>`;
}

async function readAll(base, offset, before) {
  const chunks = [];
  for (let next = offset; next < before && chunks.length < MOST_READS;) {
    const chunk = await rpc('logs.read', { ...base, offset: next, before, max_bytes: MOST_BYTES });
    if (chunk.next_offset <= next) break;
    chunks.push(chunk);
    next = chunk.next_offset;
  }
  return chunks;
}

/**
 * The row of what lies at an offset of its job, read where the buffer has it not. -1: there is nothing of that job here.
 * Rows do not know their offsets: what lies before it in its piece is read again and counted.
 */
export async function rowAt(buffer, attemptId, { job, offset }) {
  const base = { id: attemptId, stream: buffer.output, job };
  for (let tries = 0; tries < 3; tries += 1) {
    const place = buffer.placeOf(job, offset);
    if (!place) return -1;
    const after = await rpc('logs.read', { ...base, offset, before: place.next, max_bytes: AFTER_BYTES });
    if (!place.isMissing) {
      const chunks = await readAll(base, place.offset, offset);
      const held = buffer.placeOf(job, offset);
      if (held && held.offset === place.offset && !held.isMissing) return buffer.rowAfter(held, chunks, after);
    } else {
      const tail = offset > place.offset ? await rpc('logs.read', { ...base, before: offset, tail_lines: BEFORE_LINES, max_bytes: MOST_BYTES }) : null;
      const before = tail && tail.offset >= place.offset && tail.offset < offset ? [tail, ...await readAll(base, tail.next_offset, offset)] : [];
      const held = buffer.placeOf(job, offset);
      if (held && held.isMissing && held.next === place.next) return buffer.reveal(held, before, after);
    }
    // What the feed brought meanwhile has moved it.
  }
  return -1;
}
