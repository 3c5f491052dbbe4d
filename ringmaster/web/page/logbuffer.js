// What a log view holds: rows of one attempt's output, in order, without a gap that it does not say.
import { formatBytes } from './words.js';

export const MOST_ROWS = 100_000;
const TRIMMED_TO = 80_000;
const STEP_ROWS = 30;

/**
 * Rows: {kind, text, isFirst, ...}. `line`, or of a step its kind; `job` where another job begins; `gap` where something is
 * missing, with {job, output, offset, next}; `more` where the rest of a long step is folded, with {rest}: unfolded, all of it but
 * the first, which stands in the place of `more`, has `isUnfolded`. Of a step
 * whose end is known `end` is {words, isFailed, length}: the mark to show in the place of the first `length` characters.
 */
export class LogBuffer {
  constructor(output) {
    this.output = output;
    this.rows = [];
    // What each message brought: {job, offset, next, rows, isPartial}. Rows are taken away by whole messages alone.
    this.pieces = [];
    this.ends = new Map();
    this.ended = new Set();
    this.added = 0;
    this.shift = 0;
    this.shiftId = 0;
    this.received = 0;
  }

  get jobs() { return [...this.ends.keys()]; }

  /** Take a message of the feed about this output: `lines` or `steps`. */
  take(message) {
    const { job, offset, next_offset: next } = message;
    if (!this.ends.has(job)) this.#begin(job, offset);
    const known = this.ends.get(job);
    // What comes twice is not shown twice.
    if (next < known || (next === known && next > offset)) return;
    if (offset > known) this.#gap(job, known, offset);
    this.#append(job, offset, next, message.steps ? this.#stepRows(message.steps) : this.#lineRows(message.text, job, offset), message.is_partial);
    this.ends.set(job, next);
    if (message.is_end) this.ended.add(job);
  }

  /** Say what is missing, as a `resync` of the feed does. */
  takeGap(gap) {
    if (!this.ends.has(gap.job)) this.#begin(gap.job, gap.offset);
    const known = this.ends.get(gap.job);
    if (gap.next_offset <= known) return;
    this.#gap(gap.job, Math.max(known, gap.offset), gap.next_offset);
    this.ends.set(gap.job, gap.next_offset);
  }

  /** Say that what came between could not be told by the feed. */
  note(words) {
    this.#append('', 0, 0, [{ kind: 'note', text: words, isFirst: true }], false);
  }

  #begin(job, offset) {
    if (this.ends.size) this.#append(job, offset, offset, [{ kind: 'job', text: job, isFirst: true }], false);
    this.ends.set(job, offset);
  }

  #gap(job, offset, next) {
    this.#append(job, offset, next, [this.#gapRow(job, offset, next)], false);
  }

  #gapRow(job, offset, next) {
    const text = `${formatBytes(next - offset)} of ${job} ${this.output} left out here (bytes ${offset} to ${next} of its file)`;
    return { kind: 'gap', text, job, offset, next, isFirst: true };
  }

  #append(job, offset, next, rows, isPartial) {
    for (const row of rows) this.rows.push(row);
    this.pieces.push({ job, offset, next, rows: rows.length, isPartial });
    this.added += rows.length;
    this.received += rows.length;
  }

  #lineRows(text, job, offset) {
    const lines = text.split('\n');
    if (lines[lines.length - 1] === '') lines.pop();
    const last = this.pieces[this.pieces.length - 1];
    const rows = lines.map((line) => ({ kind: 'line', text: line, isFirst: true }));
    // The last line went on: these words belong to it.
    if (last && last.isPartial && last.job === job && last.next === offset && rows.length && this.rows.length) {
      const held = this.rows[this.rows.length - 1];
      this.rows[this.rows.length - 1] = { ...held, text: held.text + rows[0].text };
      rows.shift();
    }
    return rows;
  }

  #stepRows(steps) {
    const rows = [];
    for (const step of steps) {
      const lines = (step.text || '(nothing)').replace(/\n$/, '').split('\n');
      const made = lines.map((line, index) => ({ kind: step.kind, text: line, at: step.at, isFirst: index === 0 }));
      made[0].end = endOf(step);
      if (made.length > STEP_ROWS + 5) {
        const rest = made.splice(STEP_ROWS);
        made.push({ kind: 'more', of: step.kind, text: `${rest.length.toLocaleString()} more lines`, rest, isFirst: false });
      }
      for (const row of made) rows.push(row);
    }
    return rows;
  }

  /** Put rows in the place of the one at `index`: a folded step's, or what was missing. */
  replace(index, rows) {
    let at = 0;
    for (const piece of this.pieces) {
      if (index < at + piece.rows) { piece.rows += rows.length - 1; break; }
      at += piece.rows;
    }
    this.rows = [...this.rows.slice(0, index), ...rows, ...this.rows.slice(index + 1)];
  }

  /** Show the folded rest of a step in the place of its `more`. */
  unfold(row) {
    this.replace(this.rows.indexOf(row), row.rest.map((one, index) => ({ ...one, isUnfolded: index > 0 })));
  }

  /** Where in its job the oldest row lies: {job, offset}; null while there is nothing. */
  oldest() {
    const piece = this.pieces.find((one) => one.job);
    return piece ? { job: piece.job, offset: piece.offset } : null;
  }

  /** Put answers of `logs.read` before the oldest row, which begins at `end`. */
  prepend(chunks, end) {
    const { job, offset } = chunks[0];
    const next = chunks[chunks.length - 1].next_offset;
    const rows = chunks.flatMap((chunk) => this.rowsOf(chunk));
    if (next < end) rows.push(this.#gapRow(job, next, end));
    this.rows = [...rows, ...this.rows];
    this.pieces.unshift({ job, offset, next: end, rows: rows.length, isPartial: false });
    this.#shift(rows.length);
  }

  /**
   * Where an offset of a job lies: {offset, next, row, isMissing}: what is held, or missing, from one to the other, and
   * its first row; -1 before all rows. null where nothing is known of the job.
   */
  placeOf(job, offset) {
    const oldest = this.oldest();
    if (oldest && oldest.job === job && offset < oldest.offset) return { offset: 0, next: oldest.offset, row: -1, isMissing: true };
    let row = 0;
    let before = null;
    for (const piece of this.pieces) {
      if (piece.job === job && piece.offset <= offset && offset < piece.next) return this.#placeIn(piece, row, offset, before);
      row += piece.rows;
      before = piece;
    }
    return null;
  }

  #placeIn(piece, first, offset, before) {
    const isGoneOn = Boolean(before && before.isPartial && before.job === piece.job && before.next === piece.offset && this.output !== 'steps');
    let place = { offset: piece.offset, next: piece.next, row: first, isMissing: false, isGoneOn };
    for (let row = first; row < first + piece.rows; row += 1) {
      const gap = this.rows[row];
      if (gap.kind !== 'gap') continue;
      if (offset < gap.offset) return { ...place, next: gap.offset };
      if (offset < gap.next) return { offset: gap.offset, next: gap.next, row, isMissing: true };
      place = { ...place, offset: gap.next, row: row + 1, isGoneOn: false };
    }
    return place;
  }

  /** The row that `after` begins with, where `chunks` are all that is held of the place before it. */
  rowAfter(place, chunks, after) {
    let count = chunks.reduce((sum, chunk) => sum + this.rowsOf(chunk).length, 0) - (place.isGoneOn ? 1 : 0);
    const [wanted] = this.rowsOf(after);
    let row = place.row;
    for (; row < this.rows.length && count > 0; row += 1) if (!this.rows[row + 1]?.isUnfolded) count -= 1;
    const near = [0, -1, 1, -2, 2].map((step) => row + step).find((index) => wanted && this.rows[index]?.text === wanted.text);
    return near ?? Math.min(row, this.rows.length - 1);
  }

  /** Put answers of `logs.read` into what is missing; answers the row that `after` begins with. */
  reveal(place, before, after) {
    const lines = before.flatMap((chunk) => this.rowsOf(chunk));
    if (place.row < 0) {
      this.prepend([...before, after], place.next);
      return lines.length;
    }
    const { job } = this.rows[place.row];
    const begin = before.length ? before[0].offset : after.offset;
    const rows = begin > place.offset ? [this.#gapRow(job, place.offset, begin)] : [];
    rows.push(...lines);
    const found = place.row + rows.length;
    rows.push(...this.rowsOf(after));
    if (after.next_offset < place.next) rows.push(this.#gapRow(job, after.next_offset, place.next));
    this.replace(place.row, rows);
    return found;
  }

  /** An answer of `logs.read` as rows. */
  rowsOf(chunk) {
    if (this.output === 'steps') return this.#stepRows(chunk.steps);
    const lines = chunk.text.split('\n');
    if (lines[lines.length - 1] === '') lines.pop();
    return lines.map((text) => ({ kind: 'line', text, isFirst: true }));
  }

  /** Give up the oldest rows when there are too many; `logs.read` has them. Answers how many went. */
  trim() {
    if (this.rows.length <= MOST_ROWS) return 0;
    let gone = 0;
    let pieces = 0;
    while (this.rows.length - gone > TRIMMED_TO && pieces < this.pieces.length - 1) {
      gone += this.pieces[pieces].rows;
      pieces += 1;
    }
    this.rows = this.rows.slice(gone);
    this.pieces = this.pieces.slice(pieces);
    this.#shift(-gone);
    return gone;
  }

  #shift(rows) {
    this.shift = rows;
    this.shiftId += 1;
  }
}

/** How what a step is about ended, where the agent says it: words for a mark, which stand at the head of its text too. */
function endOf(step) {
  const hasExit = Number.isInteger(step.exit_code);
  if (!hasExit && !step.is_failed) return null;
  const head = hasExit ? `exit ${step.exit_code}` : 'failed';
  // `exit 3: make test`, `failed, interrupted: make test`, or the head alone.
  const rest = step.text.startsWith(head) ? /^(?:[:,] |(?=\n|$))/.exec(step.text.slice(head.length)) : null;
  const length = rest ? head.length + rest[0].length : 0;
  return { words: hasExit && step.is_failed ? `${head}, failed` : head, isFailed: Boolean(step.is_failed), length };
}

/** Rows that hold the words, whatever their case, from row `from` on. */
export function findRows(rows, words, from = 0, found = []) {
  const needle = words.toLowerCase();
  if (!needle) return found;
  for (let index = from; index < rows.length && found.length < 10_000; index += 1) {
    if (rows[index].text.toLowerCase().includes(needle)) found.push(index);
  }
  return found;
}

