// How the page stands to the daemon: that it is away, and that it serves a newer page than the one that runs.

import { useStore } from './store.js';
import { Command } from './ui.js';
import { html, useEffect, useRef, useState } from './vendor/preact.js';
import { formatTime } from './words.js';

// A reload is over sooner: nobody needs to hear of it.
const PATIENCE_MS = 3000;

/** Says that the daemon does not answer, once it has not for a while. It is tried again by itself. */
export function Away() {
  const since = useStore((state) => state.awaySince);
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    if (since === null) return undefined;
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [since]);
  // There before it has words: what comes with its words is not read out everywhere.
  return html`<div role="status" class="standing">${isLong && html`<div class="card needs is-bad">
    <p><strong>The daemon does not answer.</strong> What is shown is how things stood at ${formatTime(since)}; the page goes on by itself when it is back.</p>
    <p>Agents that are at work go on. <${Command} text="rmctl daemon status" /> <${Command} text="rmctl daemon start" /></p></div>`}</div>`;
}

/** The files that this page is made of, by address, as the daemon has them now. null: one could not be asked for. */
async function readTags(addresses) {
  try {
    const answers = await Promise.all(addresses.map((address) => fetch(address, { method: 'HEAD', cache: 'no-store', credentials: 'omit' })));
    return new Map(answers.map((answer, index) => [addresses[index], answer.ok ? answer.headers.get('ETag') : 'gone']));
  } catch {
    return null;
  }
}

const loaded = () => [...new Set(performance.getEntriesByType('resource').map((entry) => entry.name)
  .filter((name) => name.startsWith(`${location.origin}/`) && /\.(js|css)$/.test(name)))];

/** Says that another generation serves another page, and loads it when asked: nothing that is typed is thrown away. */
export function Outdated() {
  const generation = useStore((state) => state.generation);
  const tags = useRef(new Map());
  const [isOld, setOld] = useState(false);
  useEffect(() => {
    if (!generation) return;
    const look = async () => {
      const now = await readTags(loaded());
      if (!now) return;
      setOld([...tags.current].some(([address, tag]) => now.has(address) && now.get(address) !== tag));
      for (const [address, tag] of now) if (!tags.current.has(address)) tags.current.set(address, tag);
    };
    look();
  }, [generation]);
  return html`<div role="status" class="standing">${isOld && html`<div class="card needs row">
    <p class="grow">The daemon runs newer code, and has a newer page than this one.</p>
    <button type="button" class="primary" onClick=${() => location.reload()}>Load it</button></div>`}</div>`;
}
