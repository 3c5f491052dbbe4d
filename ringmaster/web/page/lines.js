// A window onto many lines of one height: only those in sight are in the document. For logs and diffs.
import { html, useState, useRef, useLayoutEffect, useEffect } from './vendor/preact.js';

export const ROW_PX = 20;
const MARGIN_ROWS = 20;
// Browsers hold no element that is taller than some 16 million pixels; beyond that rows share them.
const MOST_PX = 8_000_000;
export const SHOWN_CHARACTERS = 3000;

// C0 and C1 without tab, direction marks, separators, invisible letters: none of it may act on what is shown.
const UNSEEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu;
const ANY_UNSEEN = new RegExp(UNSEEN.source, 'u');

const pictureOf = (character) => {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
};

/** A line as it may be shown: what could not be seen becomes a picture of itself, and what is too long is cut. */
export function visible(text, limit = SHOWN_CHARACTERS) {
  const cut = text.length > limit ? text.slice(0, limit) : text;
  return ANY_UNSEEN.test(cut) ? cut.replace(UNSEEN, pictureOf) : cut;
}

/** How much of a line `visible` leaves out, in words; '' where it is whole. */
export const leftOut = (text, limit = SHOWN_CHARACTERS) =>
  text.length > limit ? ` … ${(text.length - limit).toLocaleString()} more characters` : '';

/** A box that scrolls when what is in it is too large: only then the keyboard stops at it. */
export function Scroll({ as: Tag = 'div', label, className = 'scroll', children }) {
  const box = useRef(null);
  const [isLarge, setLarge] = useState(false);
  useEffect(() => {
    const node = box.current;
    const measure = () => setLarge(node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight + 1);
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    measure();
    return () => observer.disconnect();
  }, [children]);
  return html`<${Tag} ref=${box} class=${className} tabindex=${isLarge ? 0 : undefined} role=${isLarge ? 'region' : undefined} aria-label=${isLarge ? label : undefined}>${children}<//>`;
}

/**
 * count: lines in all. renderRow(index) -> content of one. rowClass(index) -> its class.
 * control: an object that is given `scrollToRow(index)`, `scrollToEnd()`, `bringIntoSight()`, `focus()` and `firstRow()`.
 * isFollowing: stays at the end. onPlace({first, last, isAtStart, isAtEnd, isByUser}): what is in sight, after each scroll.
 * shift: how many lines were added (or, negative, taken away) before the first since the last rendering: the lines in
 * sight stay where they are.
 */
export function LineWindow({ count, renderRow, rowClass, label, control, isFollowing, onPlace, shift = 0, shiftId = 0, onKeyDown, className = '' }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const expected = useRef(-1);
  const lastShift = useRef(shiftId);
  const total = count * ROW_PX;
  const height = Math.min(total, MOST_PX);
  const scale = total > height && height > view.height ? (total - view.height) / (height - view.height) : 1;

  const setTop = (top) => {
    const node = box.current;
    if (!node) return;
    node.scrollTop = top;
    // What the browser made of it: a scroll event that says the same was not the user's.
    expected.current = node.scrollTop;
    setView((old) => (old.top === node.scrollTop && old.height === node.clientHeight ? old : { top: node.scrollTop, height: node.clientHeight }));
  };

  if (control) {
    control.scrollToRow = (index) => setTop(Math.max(0, (index * ROW_PX - view.height / 3) / scale));
    control.scrollToEnd = () => setTop(box.current ? box.current.scrollHeight : 0);
    control.bringIntoSight = () => box.current && box.current.scrollIntoView({ block: 'nearest' });
    control.focus = () => box.current && box.current.focus();
    control.firstRow = () => Math.floor((view.top * scale) / ROW_PX);
  }

  useLayoutEffect(() => {
    if (lastShift.current !== shiftId) {
      lastShift.current = shiftId;
      if (!isFollowing) setTop(box.current.scrollTop + (shift * ROW_PX) / scale);
    }
    if (isFollowing) setTop(box.current.scrollHeight);
  });

  useEffect(() => {
    const node = box.current;
    const measure = () => setView({ top: node.scrollTop, height: node.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    return () => observer.disconnect();
  }, []);

  const onScroll = () => {
    const node = box.current;
    // A scroll that was on its way when the view went.
    if (!node) return;
    const isByUser = Math.abs(node.scrollTop - expected.current) > 1;
    if (isByUser) expected.current = -1;
    setView({ top: node.scrollTop, height: node.clientHeight });
    if (onPlace) {
      onPlace({
        first: Math.floor((node.scrollTop * scale) / ROW_PX),
        isAtStart: node.scrollTop < ROW_PX * 10,
        isAtEnd: node.scrollHeight - node.scrollTop - node.clientHeight < ROW_PX,
        isByUser,
      });
    }
  };

  const real = view.top * scale;
  const first = Math.max(0, Math.floor(real / ROW_PX) - MARGIN_ROWS);
  const last = Math.min(count, Math.ceil((real + view.height) / ROW_PX) + MARGIN_ROWS);
  const rows = [];
  for (let index = first; index < last; index += 1) {
    rows.push(html`<div key=${index} class=${`line ${rowClass ? rowClass(index) : ''}`}>${renderRow(index)}</div>`);
  }
  const offset = first * ROW_PX - real + view.top;
  return html`<div ref=${box} class=${`lines ${className}`} tabindex="0" role="region" aria-label=${label} onScroll=${onScroll} onKeyDown=${onKeyDown}>
    <div class="lines-all" style=${{ height: `${height}px` }}>
      <div class="lines-seen" style=${{ transform: `translateY(${Math.max(0, offset)}px)` }}>${rows}</div>
    </div>
  </div>`;
}
