// What views are made of: dialogs, toasts, buttons that say how it went, lists of which only what is in sight is drawn.

import { onLogin, toHash } from './client.js';
import { getState, useStore } from './store.js';
import { html, render, useEffect, useLayoutEffect, useRef, useState } from './vendor/preact.js';
import { formatAgo, formatTime } from './words.js';

// -- toasts

const TOAST_MS = 6000;
const BAD_TOAST_MS = 20_000;
let toasts = [];
let nextToast = 1;
const toastListeners = new Set();

function setToasts(next) {
  toasts = next;
  for (const listener of toastListeners) listener(next);
}

export function toast(words, { kind = '', hint = '' } = {}) {
  const id = nextToast;
  nextToast += 1;
  setToasts([...toasts.slice(-3), { id, words, kind, hint }]);
  setTimeout(() => setToasts(toasts.filter((one) => one.id !== id)), kind === 'bad' ? BAD_TOAST_MS : TOAST_MS);
}

onLogin((isIn) => { if (!isIn) setToasts([]); });

export function toastError(error) {
  toast(error.message, { kind: 'bad', hint: error.hint || '' });
}

export function Toasts() {
  const [shown, setShown] = useState(toasts);
  useEffect(() => {
    toastListeners.add(setShown);
    return () => toastListeners.delete(setShown);
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(({ id, words, kind, hint }) => html`<div key=${id} class=${`toast ${kind}`}>
      <div class="grow"><p>${kind === 'bad' ? '✗ ' : kind === 'good' ? '✓ ' : ''}${words}</p>${hint && html`<p class="hint">${hint}</p>`}</div>
      <button type="button" class="plain" aria-label="Dismiss" onClick=${() => setToasts(toasts.filter((one) => one.id !== id))}>×</button>
    </div>`)}
  </div>`;
}

// -- dialogs: the browser's own <dialog> keeps the focus in, closes with Escape, and gives the focus back

export function openDialog(Component, props = {}) {
  const before = document.activeElement;
  const host = document.createElement('div');
  document.body.append(host);
  return new Promise((resolve) => {
    let isOver = false;
    const close = (value) => {
      if (isOver) return;
      isOver = true;
      forget();
      render(null, host);
      host.remove();
      if (before && before.isConnected) before.focus();
      resolve(value);
    };
    // What was asked was asked of whoever was let in.
    const forget = onLogin((isIn) => { if (!isIn) close(false); });
    render(html`<${Dialog} Component=${Component} props=${props} close=${close} />`, host);
  });
}

function Dialog({ Component, props, close }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    dialog.current.showModal();
    const first = dialog.current.querySelector('[data-first], input, textarea, select, button');
    if (first) first.focus();
    const heading = dialog.current.querySelector('h2');
    if (heading) dialog.current.setAttribute('aria-label', heading.textContent);
  }, []);
  return html`<dialog ref=${dialog} onCancel=${(event) => { event.preventDefault(); close(false); }}>
    <${Component} ...${props} close=${close} />
  </dialog>`;
}

function Confirmation({ title, words, action = 'OK', isDangerous, input, close }) {
  const [value, setValue] = useState(input?.value || '');
  const isMissing = Boolean(input?.isRequired && !value.trim());
  const say = (event) => {
    event.preventDefault();
    if (!isMissing) close(input ? value : true);
  };
  const typed = { value, onInput: (event) => setValue(event.target.value), required: Boolean(input?.isRequired) };
  return html`<form onSubmit=${say}>
    <h2>${title}</h2>
    ${words && html`<p class="said">${words}</p>`}
    ${input && html`<label class="field"><span>${input.label}</span>${input.isLong
      ? html`<textarea rows="4" data-first ...${typed}></textarea>` : html`<input type="text" data-first ...${typed} />`}</label>`}
    <div class="row end">
      <button type="button" data-first=${isDangerous && !input} onClick=${() => close(false)}>Not now</button>
      <button type="submit" class=${isDangerous ? 'danger' : 'primary'} disabled=${isMissing}>${action}</button>
    </div>
  </form>`;
}

// With `input` an empty text that is allowed comes as '': compare with `false`, do not test.
export const confirm = (question) => openDialog(Confirmation, question);

// -- acting

export function ActionButton({ onClick, children, isDanger, isPrimary, title, disabled, label, ...rest }) {
  const [isBusy, setBusy] = useState(false);
  const isThere = useRef(true);
  useEffect(() => () => { isThere.current = false; }, []);
  const act = async (event) => {
    event.stopPropagation();
    if (isBusy) return;
    setBusy(true);
    try {
      await onClick(event);
    } catch (error) {
      toastError(error);
    } finally {
      if (isThere.current) setBusy(false);
    }
  };
  const kind = isDanger ? 'danger' : isPrimary ? 'primary' : '';
  // Not `disabled` while busy: a disabled button loses the focus.
  return html`<button type="button" class=${kind} title=${title} disabled=${disabled} aria-label=${label} aria-busy=${isBusy} onClick=${act} ...${rest}>${children}${isBusy ? ' …' : ''}</button>`;
}

export function ErrorBox({ error, onRetry }) {
  return html`<div class="error" role="alert">
    <p>✗ ${error.message}</p>
    ${error.hint && html`<p class="hint">${error.hint}</p>`}
    ${onRetry && html`<button type="button" onClick=${onRetry}>Try again</button>`}
  </div>`;
}

// -- showing

export const Loading = ({ what = '' }) => html`<p class="muted" aria-busy="true">Loading ${what} …</p>`;
export const Empty = ({ children }) => html`<p class="muted empty">${children}</p>`;

const MARKS = {
  ready: '○', open: '○', running: '▶', working: '▶', validating: '◐', landing: '◑', done: '✓', succeeded: '✓', passed: '✓',
  good: '✓', green: '✓', red: '✗', idle: '○', ok: '✓', failed: '✗', bad: '✗', poisoned: '✗', damaged: '✗', gate_failed: '✗', cancelled: '–', blocked: '⊘',
  scheduled: '◔', waiting: '?', needs_decision: '?', paused: '‖', stopped: '■', stopping: '■', draft: '✎', degraded: '!', estop: '!',
};

export function StateBadge({ state }) {
  return html`<span class=${`badge state-${String(state).replace(/[^a-z_-]/g, '')}`}><span aria-hidden="true">${MARKS[state] || '·'}</span> ${String(state).replace(/_/g, ' ')}</span>`;
}

export function Ago({ at }) {
  const now = useStore((state) => state.now);
  if (at === null || at === undefined) return html`<span>–</span>`;
  return html`<time dateTime=${new Date(at * 1000).toISOString()} title=${formatTime(at)}>${formatAgo(at, Math.max(now, getState().now))}</time>`;
}

export function TaskLink({ id, title }) {
  return html`<a class="task-link" href=${toHash('task', id)}><code>${id}</code>${title ? html` <span>${title}</span>` : ''}</a>`;
}

export function Command({ text }) {
  const copy = async () => {
    if (!navigator.clipboard) throw new Error('This browser does not let the page copy: mark the text.');
    await navigator.clipboard.writeText(text);
    toast('copied', { kind: 'good' });
  };
  return html`<span class="command"><code>${text}</code><${ActionButton} label=${`Copy ${text}`} onClick=${copy}>Copy<//></span>`;
}

export function Tabs({ tabs, chosen, onChoose }) {
  const list = useRef(null);
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    // From where the focus is: what is chosen is drawn a moment later, and keys may come faster.
    const buttons = [...list.current.querySelectorAll('button')];
    const next = (buttons.indexOf(event.target) + step + tabs.length) % tabs.length;
    onChoose(tabs[next][0]);
    buttons[next].focus();
  };
  return html`<div class="tabs" role="tablist" ref=${list} onKeyDown=${move}>${tabs.map(([id, words]) => html`
    <button key=${id} type="button" role="tab" aria-selected=${id === chosen} tabIndex=${id === chosen ? 0 : -1} onClick=${() => onChoose(id)}>${words}</button>`)}
  </div>`;
}

// -- windowed lists

const BEYOND = 8;

// It scrolls by itself; its height is the style's. Rows are list items that say their place among all.
export function WindowedList({ items, rowHeight, renderRow, keyOf = (item, index) => index, label, className = '', onVisible }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const look = () => {
    // A scroll that was on its way when the view went.
    if (!box.current) return;
    const { scrollTop, clientHeight } = box.current;
    const top = Math.floor(scrollTop / rowHeight) * rowHeight;
    setView((before) => (before.top === top && before.height === clientHeight ? before : { top, height: clientHeight }));
  };
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(look);
    watcher.observe(box.current);
    look();
    return () => watcher.disconnect();
  }, []);
  const first = Math.max(0, Math.min(items.length, Math.floor(view.top / rowHeight)) - BEYOND);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  useEffect(() => { if (onVisible) onVisible(first, last); }, [first, last, items]);
  const rows = [];
  for (let index = first; index < last; index += 1) {
    const item = items[index];
    rows.push(html`<li key=${keyOf(item, index)} class="row-of-list" aria-setsize=${items.length} aria-posinset=${index + 1}
      style=${{ height: `${rowHeight}px`, transform: `translateY(${index * rowHeight}px)` }}>${renderRow(item, index)}</li>`);
  }
  return html`<div class=${`windowed ${className}`} ref=${box} onScroll=${look} tabIndex="0" role="region" aria-label=${label}>
    <ul class="windowed-rows" style=${{ height: `${items.length * rowHeight}px` }}>${rows}</ul>
  </div>`;
}
