// An attempt's output as it comes: steps, raw lines, stderr, setup or gates. All of it is text.
import { html, useState, useEffect, useMemo, useRef, useCallback } from './vendor/preact.js';
import { rpc } from './client.js';
import { useFeed } from './store.js';
import { ErrorBox } from './ui.js';
import { formatCount } from './words.js';
import { LineWindow } from './lines.js';
import { LogBuffer, findRows } from './logbuffer.js';
import { WholeLog, rowAt } from './logsearch.js';
import { LogText } from './logrow.js';

const OUTPUTS = [['steps', 'Steps'], ['stdout', 'Output'], ['stderr', 'Errors (stderr)'], ['gate', 'Gate'], ['setup', 'Set-up']];
// What agents do is indexed by their steps, whose places are those of their lines.
const SEARCHED = new Set(['steps', 'stdout']);
const OLDER_LINES = 2000;
const RESTS_MS = 800;
const CONNECTIONS = { connecting: 'connecting…', live: 'live', waiting: 'waiting for the daemon…', closed: 'closed' };

/** A buffer that the feed fills, and a number that changes at most once a frame. */
function useLog(attemptId, output, tailLines) {
  const buffer = useMemo(() => new LogBuffer(output), [attemptId, output, tailLines]);
  const [, setTurn] = useState(0);
  const frame = useRef(0);
  const isFollowing = useRef(true);
  const redraw = useCallback(() => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      setTurn((turn) => turn + 1);
    });
  }, []);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
  const subscription = useMemo(
    () => ({ attempt_id: attemptId, output: [output], tail_lines: tailLines, type: ['attempt.ended'] }),
    [attemptId, output, tailLines],
  );
  const onMessages = useCallback((messages) => {
    let hasChanged = false;
    for (const message of messages) {
      const isOurs = message.attempt_id === attemptId;
      if (isOurs && (message.kind === 'steps' ? output === 'steps' : message.kind === 'lines' && message.output === output)) buffer.take(message);
      else if (message.kind === 'resync') message.gaps.filter((gap) => gap.attempt_id === attemptId && gap.output === output).forEach((gap) => buffer.takeGap(gap));
      else if (isOurs && message.kind === 'unreadable' && message.output === output) buffer.note(`this cannot be read on: ${message.reason}`);
      else if (message.kind === 'cursor_expired') buffer.note(`the feed had to begin anew here: ${message.reason}`);
      else continue;
      hasChanged = true;
    }
    if (!hasChanged) return;
    // Whoever reads far above keeps what they read.
    if (isFollowing.current || buffer.rows.length > 400_000) buffer.trim();
    redraw();
  }, [buffer, attemptId, output, redraw]);
  const connection = useFeed(subscription, onMessages);
  return { buffer, connection, redraw, isFollowing };
}

/** Which rows hold the words, gone on with as rows come. */
function useSearch(buffer, words) {
  const held = useRef({ words: '', buffer: null, shiftId: 0, length: 0, rows: null, found: [] });
  const old = held.current;
  const isSame = old.words === words && old.buffer === buffer && old.shiftId === buffer.shiftId && old.rows === buffer.rows;
  // The last row known may have been gone on with.
  const from = isSame ? Math.max(0, old.length - 1) : 0;
  const found = isSame ? old.found.filter((index) => index < from) : [];
  if (!isSame || old.length !== buffer.rows.length) {
    held.current = { words, buffer, shiftId: buffer.shiftId, length: buffer.rows.length, rows: buffer.rows, found: findRows(buffer.rows, words, from, found) };
  }
  return held.current.found;
}

/** How many matches there are; read out once it has rested: a log that runs finds more at each frame. */
function FoundHere({ words }) {
  const [rested, setRested] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => setRested(words), RESTS_MS);
    return () => clearTimeout(timer);
  }, [words]);
  return html`<span class="hint" aria-hidden="true">${words}</span><span role="status" class="unseen">${rested}</span>`;
}

/** Lines older than the oldest, and what was left out, by `logs.read`. */
function useReading(attemptId, output, buffer, redraw) {
  const [state, setState] = useState({ isLoading: false, error: null });
  const busy = useRef(false);
  const run = useCallback(async (work) => {
    if (busy.current) return;
    busy.current = true;
    setState({ isLoading: true, error: null });
    try {
      await work();
      setState({ isLoading: false, error: null });
    } catch (error) {
      setState({ isLoading: false, error });
    } finally {
      busy.current = false;
      redraw();
    }
  }, [redraw]);
  const loadOlder = useCallback(() => {
    const oldest = buffer.oldest();
    if (!oldest || oldest.offset <= 0) return;
    run(async () => {
      const base = { id: attemptId, stream: output, job: oldest.job, before: oldest.offset, max_bytes: 1_000_000 };
      const chunks = [await rpc('logs.read', { ...base, tail_lines: OLDER_LINES })];
      // Very long lines do not fit in one answer.
      for (let next = chunks[0].next_offset; next < oldest.offset && chunks.length < 50; next = chunks[chunks.length - 1].next_offset) {
        chunks.push(await rpc('logs.read', { ...base, offset: next }));
        if (chunks[chunks.length - 1].next_offset <= next) break;
      }
      const now = buffer.oldest();
      if (now && now.job === oldest.job && now.offset === oldest.offset && chunks[0].offset < oldest.offset) buffer.prepend(chunks, oldest.offset);
    });
  }, [attemptId, output, buffer, run]);
  const fillGap = useCallback((row) => run(async () => {
    const chunk = await rpc('logs.read', { id: attemptId, stream: output, job: row.job, offset: row.offset, before: row.next, max_bytes: 1_000_000 });
    const index = buffer.rows.indexOf(row);
    if (index < 0) return;
    const rows = buffer.rowsOf(chunk);
    // Of a large gap the rest stays one.
    if (chunk.next_offset < row.next && chunk.next_offset > row.offset) rows.push({ ...row, offset: chunk.next_offset, text: `more of ${row.job} ${output} left out here` });
    buffer.replace(index, rows);
  }), [attemptId, output, buffer, run]);
  return { ...state, loadOlder, fillGap };
}

/** The rows themselves, with the bar above them. */
function LogLines({ attemptId, output, tailLines }) {
  const { buffer, connection, redraw, isFollowing } = useLog(attemptId, output, tailLines);
  const reading = useReading(attemptId, output, buffer, redraw);
  const [follows, setFollows] = useState(true);
  const [seen, setSeen] = useState(0);
  const [words, setWords] = useState('');
  const [chosen, setChosen] = useState(-1);
  const [target, setTarget] = useState(null);
  const control = useRef({}).current;
  const search = useRef(null);
  const found = useSearch(buffer, words);
  isFollowing.current = follows;
  useEffect(() => { setFollows(true); setChosen(-1); setTarget(null); }, [buffer]);
  useEffect(() => { if (target) { control.scrollToRow(buffer.rows.indexOf(target)); control.bringIntoSight(); } }, [target]);

  const follow = (value) => {
    setFollows(value);
    setSeen(buffer.received);
    if (value) { buffer.trim(); control.scrollToEnd(); }
  };
  const onPlace = ({ isAtStart, isAtEnd, isByUser }) => {
    if (isByUser && follows && !isAtEnd) { setSeen(buffer.received); setFollows(false); }
    else if (isByUser && !follows && isAtEnd) follow(true);
    if (isAtStart && isByUser) reading.loadOlder();
  };
  const goTo = (step) => {
    if (!found.length) return;
    const here = chosen < 0 ? (step > 0 ? -1 : found.length) : chosen;
    const next = (here + step + found.length) % found.length;
    setChosen(next);
    setTarget(null);
    setFollows(false);
    setSeen(buffer.received);
    control.scrollToRow(found[next]);
  };
  const onKeyDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { '/': () => search.current.focus(), f: () => follow(!follows), n: () => goTo(1), N: () => goTo(-1), End: () => follow(true), Home: () => { setFollows(false); control.scrollToRow(0); reading.loadOlder(); } };
    if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  };
  const openRest = (row) => { buffer.unfold(row); redraw(); };
  const goToMatch = async (match) => {
    setFollows(false);
    setSeen(buffer.received);
    const index = await rowAt(buffer, attemptId, match);
    if (index < 0) throw new Error('This place is not in the log any more.');
    setTarget(buffer.rows[index]);
    redraw();
  };
  const rows = buffer.rows;
  const renderRow = (index) => {
    const row = rows[index];
    if (row.kind === 'gap') return html`<span class="log-note">${row.text} </span><button type="button" onClick=${() => reading.fillGap(row)}>Read it</button>`;
    if (row.kind === 'more') return html`<span class="log-kind"></span><button type="button" onClick=${() => openRest(row)}>${row.text}</button>`;
    return html`<${LogText} row=${row} isStep=${output === 'steps' && row.kind !== 'job' && row.kind !== 'note'} words=${words} />`;
  };
  const rowClass = (index) => {
    const row = rows[index];
    const isChosen = row === target || (chosen >= 0 && found[chosen] === index);
    return `log-${row.kind}${row.isFirst ? ' log-first' : ''}${isChosen ? ' log-chosen' : ''}`;
  };
  const oldest = buffer.oldest();
  const hasEnded = buffer.jobs.length > 0 && buffer.jobs.every((job) => buffer.ended.has(job));
  const news = buffer.received - seen;
  return html`<div class="log" data-received=${buffer.received} data-ends=${buffer.jobs.map((job) => `${job}:${buffer.ends.get(job)}`).join(' ')}>
    <div class="bar">
      <label class="grow">Search <input ref=${search} type="search" value=${words} onInput=${(event) => { setWords(event.target.value); setChosen(-1); }} onKeyDown=${(event) => { if (event.key === 'Enter') { event.preventDefault(); goTo(event.shiftKey ? -1 : 1); } }} /></label>
      <${FoundHere} words=${words ? (found.length ? `${chosen < 0 ? '' : `${chosen + 1} of `}${formatCount(found.length)}${found.length >= 10_000 ? ' or more' : ''} found here` : 'not found here') : ''} />
      <button type="button" disabled=${!found.length} onClick=${() => goTo(-1)}>Previous</button>
      <button type="button" disabled=${!found.length} onClick=${() => goTo(1)}>Next</button>
    </div>
    ${SEARCHED.has(output) && html`<${WholeLog} attemptId=${attemptId} words=${words} goTo=${goToMatch} />`}
    <div class="bar">
      <button type="button" onClick=${() => { setFollows(false); setSeen(buffer.received); control.scrollToRow(0); reading.loadOlder(); }}>Beginning</button>
      <button type="button" onClick=${() => follow(true)}>End</button>
      <button type="button" aria-pressed=${follows} onClick=${() => follow(!follows)}>${follows ? 'Following' : 'Follow'}</button>
      ${oldest && oldest.offset > 0 && html`<button type="button" disabled=${reading.isLoading} onClick=${reading.loadOlder}>${reading.isLoading ? 'Reading…' : 'Older lines'}</button>`}
      <span class="grow hint">${formatCount(rows.length)} lines here${oldest && oldest.offset > 0 ? ', older ones are in the file' : ''}${!follows && news > 0 ? `, ${formatCount(news)} new` : ''}</span>
      <span class="hint">${hasEnded ? 'ended' : CONNECTIONS[connection] || connection}</span>
    </div>
    ${reading.error && html`<${ErrorBox} error=${reading.error} onRetry=${reading.loadOlder} />`}
    ${rows.length === 0 && html`<p class="hint">${hasEnded ? 'It wrote nothing here.' : 'Nothing has come yet.'}</p>`}
    <${LineWindow} count=${rows.length} renderRow=${renderRow} rowClass=${rowClass} label=${`${output} of ${attemptId}. Keys: slash searches, n and N go on, f follows, Home and End.`}
      control=${control} isFollowing=${follows} onPlace=${onPlace} shift=${buffer.shift} shiftId=${buffer.shiftId} onKeyDown=${onKeyDown} className="log-lines" />
  </div>`;
}

/** output: the one shown first; without `isFixed` others can be chosen. tailLines: where to begin, lines before the end. */
export function LogView({ attemptId, output = 'steps', tailLines = 2000, isFixed = false }) {
  const [shown, setShown] = useState(output);
  useEffect(() => setShown(output), [output, attemptId]);
  return html`<section class="logview" aria-label=${`Log of ${attemptId}`}>
    ${!isFixed && html`<div class="bar" role="group" aria-label="Which output">
      ${OUTPUTS.map(([name, label]) => html`<button type="button" aria-pressed=${name === shown} onClick=${() => setShown(name)}>${label}</button>`)}
    </div>`}
    <${LogLines} key=${`${attemptId} ${shown}`} attemptId=${attemptId} output=${shown} tailLines=${tailLines} />
  </section>`;
}
