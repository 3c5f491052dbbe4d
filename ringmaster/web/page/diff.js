// A unified diff: its files, what was added and deleted, windowed. All of it is text.
import { html, useState, useEffect, useMemo, useRef } from './vendor/preact.js';
import { rpc } from './client.js';
import { ErrorBox, Loading, Empty } from './ui.js';
import { LineWindow, visible, leftOut } from './lines.js';

const FOLDED_LINES = 600;
const MOST_CHARACTERS = 24_000_000;
const UNQUOTED = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\' };

/** Lines of a patch as rows by file. Pure. A row: {kind, text, old, now}; kind: meta, hunk, add, del, same, note. */
export function parseDiff(text) {
  const files = [];
  let file = null;
  let old = 0;
  let now = 0;
  let oldLeft = 0;
  let nowLeft = 0;
  const lines = text.split('\n');
  if (lines[lines.length - 1] === '') lines.pop();
  for (const line of lines) {
    // Within a hunk a line that begins like a header is content: the hunk says how long it is.
    if (oldLeft <= 0 && nowLeft <= 0 && line.startsWith('diff --git ')) {
      file = { path: pathOf(line), status: 'changed', added: 0, deleted: 0, rows: [], isBinary: false };
      files.push(file);
      continue;
    }
    if (!file) continue;
    const sign = line[0];
    if (oldLeft > 0 || nowLeft > 0) {
      if (sign === '+') { file.added += 1; nowLeft -= 1; file.rows.push({ kind: 'add', text: line.slice(1), old: 0, now: now++ }); continue; }
      if (sign === '-') { file.deleted += 1; oldLeft -= 1; file.rows.push({ kind: 'del', text: line.slice(1), old: old++, now: 0 }); continue; }
      if (sign === ' ' || line === '') { oldLeft -= 1; nowLeft -= 1; file.rows.push({ kind: 'same', text: line.slice(1), old: old++, now: now++ }); continue; }
    }
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (hunk) {
      old = Number(hunk[1]);
      now = Number(hunk[3]);
      oldLeft = hunk[2] === undefined ? 1 : Number(hunk[2]);
      nowLeft = hunk[4] === undefined ? 1 : Number(hunk[4]);
      file.rows.push({ kind: 'hunk', text: line, old: 0, now: 0 });
    } else if (sign === '\\') file.rows.push({ kind: 'note', text: line.slice(2), old: 0, now: 0 });
    else if (line.startsWith('new file')) file.status = 'added';
    else if (line.startsWith('deleted file')) file.status = 'deleted';
    else if (line.startsWith('Binary files')) { file.isBinary = true; file.rows.push({ kind: 'note', text: line, old: 0, now: 0 }); }
    else if (line.startsWith('+++ ') || line.startsWith('--- ')) { const path = namedPath(line.slice(4)); if (path) file.path = path; }
    else if (!line.startsWith('index ')) file.rows.push({ kind: 'meta', text: line, old: 0, now: 0 });
  }
  return files;
}

const encoder = new TextEncoder();

/** A path as git writes it: in quotes, bytes that are no ASCII are octal. */
function unquote(name) {
  if (!name.startsWith('"')) return name.replace(/\t$/, '');
  const bytes = [];
  const within = name.slice(1, name.lastIndexOf('"'));
  for (const [whole, octal, plain] of within.matchAll(/\\([0-7]{3})|\\(.)|[^\\]+/gu)) {
    if (octal) bytes.push(parseInt(octal, 8));
    else bytes.push(...encoder.encode(plain ? UNQUOTED[plain] || plain : whole));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

function namedPath(name) {
  const path = unquote(name);
  return path === '/dev/null' ? '' : path.replace(/^[ab]\//, '');
}

function pathOf(line) {
  const rest = line.slice('diff --git '.length);
  const quoted = / ("b\/.*")$/.exec(rest);
  if (quoted) return namedPath(quoted[1]);
  // Without quotes both names are the same, since no rename is looked for.
  const found = / b\/(.*)$/.exec(rest.length % 2 ? rest.slice((rest.length - 1) / 2) : rest);
  return found ? found[1] : rest;
}

/** Parts of a diff, one after another, shown as they come. */
function useDiff(id) {
  const [found, setFound] = useState({ text: '', isLoading: true, error: null, facts: null, isBounded: false });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    const load = async () => {
      setFound({ text: '', isLoading: true, error: null, facts: null, isBounded: false });
      const parts = [];
      let size = 0;
      let offset = 0;
      try {
        while (offset !== null && size < MOST_CHARACTERS) {
          // eslint-disable-next-line no-await-in-loop
          const part = await rpc('task.diff', { id, offset }, { signal: abort.signal });
          if (abort.signal.aborted) return;
          parts.push(part.diff);
          size += part.diff.length;
          offset = part.next_offset;
          const isOver = offset === null || size >= MOST_CHARACTERS;
          // Between the first part and the last nothing is shown: each would be parsed again.
          if (parts.length === 1 || isOver) setFound({ text: parts.join(''), isLoading: !isOver, error: null, facts: part, isBounded: offset !== null && isOver });
        }
      } catch (error) {
        if (!abort.signal.aborted) setFound((old) => ({ ...old, isLoading: false, error }));
      }
    };
    load();
    return () => abort.abort();
  }, [id, turn]);
  return { ...found, retry: () => setTurn((old) => old + 1) };
}

const SIGNS = { add: '+', del: '-', same: ' ', hunk: '', meta: '', note: '\\' };
const plural = (count, word) => `${count.toLocaleString()} ${word}${count === 1 ? '' : 's'}`;

function FileLine({ file, isOpen, onToggle }) {
  const counts = file.isBinary ? 'binary' : `+${file.added.toLocaleString()} −${file.deleted.toLocaleString()}`;
  return html`<button type="button" class="diff-file" aria-expanded=${isOpen} onClick=${onToggle}>
    <span aria-hidden="true">${isOpen ? '▾' : '▸'}</span> <bdi>${visible(file.path, 400)}</bdi>
    <span class="diff-counts">${file.status === 'changed' ? '' : `${file.status}, `}${counts}${isOpen ? '' : `, ${plural(file.rows.length, 'line')} folded`}</span>
  </button>`;
}

/** What an attempt changed. id of `attemptId`, or the newest work of `taskId`. */
export function DiffView({ taskId, attemptId }) {
  const id = attemptId || taskId;
  const { text, isLoading, error, facts, isBounded, retry } = useDiff(id);
  const files = useMemo(() => parseDiff(text), [text]);
  const [folds, setFolds] = useState({});
  const control = useRef({}).current;
  useEffect(() => setFolds({}), [id]);
  // A file that is the only one is what somebody came for, however long it is.
  const isOnly = !isLoading && files.length === 1;
  const isOpen = (index) => (index in folds ? folds[index] : isOnly || files[index].rows.length <= FOLDED_LINES);
  const { rows, starts } = useMemo(() => {
    const all = [];
    const begins = [];
    files.forEach((file, index) => {
      begins.push(all.length);
      all.push({ kind: 'file', file, index });
      if (index in folds ? folds[index] : isOnly || file.rows.length <= FOLDED_LINES) for (const row of file.rows) all.push(row);
    });
    return { rows: all, starts: begins };
  }, [files, folds, isOnly]);
  if (error && !text) return html`<${ErrorBox} error=${error} onRetry=${retry} />`;
  if (!facts) return html`<${Loading} what="the diff" />`;
  if (!files.length) return html`<${Empty}>${facts.attempt_id} changed nothing.<//>`;
  const toggle = (index) => setFolds({ ...folds, [index]: !isOpen(index) });
  const foldAll = (value) => setFolds(Object.fromEntries(files.map((_, index) => [index, value])));
  const stat = facts.stat.trimEnd().split('\n').pop();
  const renderRow = (at) => {
    const row = rows[at];
    if (row.kind === 'file') return html`<${FileLine} file=${row.file} isOpen=${isOpen(row.index)} onToggle=${() => toggle(row.index)} />`;
    return html`<span class="diff-no" aria-hidden="true">${row.old || ''}</span><span class="diff-no" aria-hidden="true">${row.now || ''}</span><span class="diff-sign">${SIGNS[row.kind]}</span><span class="diff-text">${visible(row.text)}${leftOut(row.text)}</span>`;
  };
  const jump = (event) => {
    const index = Number(event.target.value);
    if (Number.isNaN(index)) return;
    control.scrollToRow(starts[index]);
    control.focus();
  };
  return html`<section class="diff" aria-label="Diff">
    <div class="bar">
      <span class="grow"><a href=${`#/task/${encodeURIComponent(facts.id)}/attempts`}>${facts.attempt_id}</a>: ${stat}${isLoading ? ', more is loading…' : ''}</span>
      <label>File <select onChange=${jump}>
        ${files.slice(0, 2000).map((file, index) => html`<option value=${index}>${visible(file.path, 120)} (+${file.added} −${file.deleted})</option>`)}
      </select></label>
      <button type="button" onClick=${() => foldAll(false)}>Fold all</button>
      <button type="button" onClick=${() => foldAll(true)}>Unfold all</button>
    </div>
    ${error && html`<${ErrorBox} error=${error} onRetry=${retry} />`}
    ${isBounded && html`<p class="hint">Only the beginning of this diff is shown: it is larger than ${plural(MOST_CHARACTERS, 'character')}. Its workspace has the rest: rmctl attempt show ${facts.attempt_id}</p>`}
    <${LineWindow} count=${rows.length} renderRow=${renderRow} rowClass=${(at) => `diff-${rows[at].kind}`} label=${`Diff of ${facts.attempt_id}, ${plural(files.length, 'file')}`} control=${control} className="diff-lines" />
  </section>`;
}
