// What can be done with keys, everywhere in the page, and the dialog that says so.

import { toHash } from './client.js';
import { openDialog } from './ui.js';
import { html, useEffect } from './vendor/preact.js';

const SAID = [
  [['g', 'a'], 'What needs you'], [['g', 'b'], 'Board'], [['g', 'w'], 'Workers'], [['g', 'p'], 'Graph'], [['g', 'f'], 'Find in logs'],
  [['g', 's'], 'Figures'], [['g', 'r'], 'Generations'], [['/'], 'Search here, or on the board'], [['←', '→'], 'In tabs: the one before, the next'],
  [['n', 'N'], 'In a log: the next match, the one before'], [['f'], 'In a log: follow it, or stay'], [['Home', 'End'], 'In a log: its beginning, its end'],
  [['+', '−', '0'], 'In the graph: larger, smaller, all of it'], [['?'], 'These keys'],
];

export function Keys({ close }) {
  return html`<h2>Keys</h2>
    <table class="keys"><thead class="unseen"><tr><th scope="col">Keys</th><th scope="col">What they do</th></tr></thead>
      <tbody>${SAID.map(([keys, words]) => html`<tr key=${words}><th scope="row">${keys.map((key, index) => html`${index ? ' ' : ''}<kbd>${key}</kbd>`)}</th><td>${words}</td></tr>`)}</tbody></table>
    <div class="row end"><button type="button" data-first onClick=${() => close(false)}>Close</button></div>`;
}

const LETTERS = { a: '', b: 'board', w: 'workers', p: 'graph', f: 'find', s: 'stats', r: 'generations' };

export function useKeys() {
  useEffect(() => {
    let isGoing = false;
    const take = (event) => {
      const isTyping = event.target.closest?.('input, textarea, select, dialog, [contenteditable]');
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isGoing && event.key in LETTERS) {
        location.hash = toHash(LETTERS[event.key]);
        event.preventDefault();
      } else if (event.key === '?') {
        openDialog(Keys);
        event.preventDefault();
      } else if (event.key === '/') {
        const search = document.querySelector('main input[type="search"]');
        if (search) search.focus();
        else location.hash = toHash('board');
        event.preventDefault();
      }
      isGoing = event.key === 'g';
    };
    addEventListener('keydown', take);
    return () => removeEventListener('keydown', take);
  }, []);
}
