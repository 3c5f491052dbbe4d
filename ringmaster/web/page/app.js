// The frame of the page: login, header, router. A view is loaded when it is first shown, so that one that is broken
// takes none of the others along.

import { hasLogin, login, logout, onLogin, takeCode, toHash, whyLoggedOut } from './client.js';
import { Keys, useKeys } from './keys.js';
import { Away, Outdated } from './standing.js';
import { startStore, useStore } from './store.js';
import { ActionButton, Command, ErrorBox, Loading, StateBadge, Toasts, openDialog } from './ui.js';
import { html, render, useEffect, useLayoutEffect, useRef, useState } from './vendor/preact.js';
import { plural } from './words.js';

const VIEWS = {
  '': { words: 'Attention', load: () => import('./attention.js'), name: 'AttentionPage', takes: [] },
  board: { words: 'Board', load: () => import('./board.js'), name: 'BoardPage', takes: [] },
  workers: { words: 'Workers', load: () => import('./workers.js'), name: 'WorkersPage', takes: [] },
  graph: { words: 'Graph', load: () => import('./graph.js'), name: 'GraphPage', takes: ['id'] },
  find: { words: 'Find', load: () => import('./find.js'), name: 'FindPage', takes: ['pattern'] },
  stats: { words: 'Figures', load: () => import('./stats.js'), name: 'StatsPage', takes: [] },
  generations: { words: 'Generations', load: () => import('./generations.js'), name: 'GenerationsPage', takes: [] },
  task: { words: 'Task', load: () => import('./task.js'), name: 'TaskPage', takes: ['id', 'tab', 'attempt', 'job', 'offset'], isHidden: true },
};

function parseHash(hash) {
  const [name, ...values] = hash.replace(/^#\/?/, '').split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  const props = view ? Object.fromEntries(view.takes.map((taken, index) => [taken, values[index] || ''])) : {};
  return { name, view, props, key: `${name}/${props.id || ''}` };
}

function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const look = () => setHash(location.hash);
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return parseHash(hash);
}

function View({ route, isFirst }) {
  const [loaded, setLoaded] = useState({ view: null });
  const { view } = route;
  const load = () => {
    if (!view) return;
    view.load().then(
      (module) => setLoaded({ view, Component: module[view.name] }),
      () => setLoaded({ view, error: { message: 'This view could not be loaded.', hint: 'Load the page again.' } }),
    );
  };
  useEffect(load, [view]);
  const isLive = useStore((state) => state.connection === 'live');
  useEffect(() => { if (isLive && loaded.error) load(); }, [isLive]);
  const box = useRef(null);
  const isThere = loaded.view === view && Boolean(loaded.Component);
  // Whoever hears or tabs through the page is where the new view begins. Not at the first: nobody went anywhere.
  useLayoutEffect(() => {
    if (!isThere || isFirst) return;
    const heading = box.current.querySelector('h1');
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [isThere, route.key]);
  let shown;
  if (!view) shown = html`<h1>No such view</h1><p>There is nothing at ${location.hash}. <a href="#/">What needs you</a></p>`;
  else if (loaded.view !== view) shown = html`<${Loading} />`;
  else if (loaded.error) shown = html`<h1>${view.words}</h1><${ErrorBox} error=${loaded.error} onRetry=${load} />`;
  else shown = html`<${loaded.Component} key=${route.key} ...${route.props} />`;
  return html`<div ref=${box}>${shown}</div>`;
}

const OTHERS_AFTER_MS = 1000;
const CONNECTION = {
  live: '● live', connecting: '◌ connecting', waiting: '◌ coming back', closed: '○ not connected',
};

function Header({ route }) {
  const status = useStore((state) => state.status);
  const connection = useStore((state) => state.connection);
  const open = status ? status.decisions.length : 0;
  const queue = status?.queue;
  return html`<header class="top">
    <a class="brand" href="#/">Ringmaster${status ? html` <span class="muted">${status.name}</span>` : ''}</a>
    <nav aria-label="Views"><ul>${Object.entries(VIEWS).filter(([, view]) => !view.isHidden).map(([name, view]) => html`
      <li key=${name}><a href=${toHash(name)} aria-current=${route.view === view ? 'page' : undefined}>${view.words}${name === '' && open
        ? html` <span class="count" aria-label=${plural(open, 'open question')}>${open}</span>` : ''}</a></li>`)}
    </ul></nav>
    <div class="facts-of-daemon">
      ${status && html`<span title=${status.health.words}><${StateBadge} state=${status.health.state} /></span>`}
      ${queue && html`<span class="muted wide">${queue.running} running · ${queue.ready} ready${queue.failed ? ` · ${queue.failed} failed` : ''}</span>`}
      <span class="muted" role="status">${CONNECTION[connection]}</span>
      <button type="button" class="plain only-keys" aria-label="Keys" title="Keys ( ? )" onClick=${() => openDialog(Keys)}><kbd>?</kbd></button>
      <${ActionButton} onClick=${logout} title="End this login">Log out<//>
    </div>
  </header>`;
}

// Says new questions to whoever cannot see them, and counts them in the title for whoever has the tab in the back.
function Announcer({ route }) {
  const status = useStore((state) => state.status);
  const known = useRef(null);
  const [said, setSaid] = useState('');
  const decisions = status ? status.decisions : null;
  useEffect(() => {
    if (!decisions) return;
    const fresh = known.current ? decisions.filter(({ id }) => !known.current.has(id)) : [];
    known.current = new Set(decisions.map(({ id }) => id));
    if (fresh.length) setSaid(fresh.length === 1 ? `New question: ${fresh[0].question}` : `${fresh.length} new questions`);
  }, [decisions]);
  useEffect(() => {
    const words = route.props.id ? `${route.props.id} · ${route.view.words}` : route.view?.words || 'Ringmaster';
    document.title = `${decisions?.length ? `(${decisions.length}) ` : ''}${words} · Ringmaster`;
  }, [decisions?.length, route.key]);
  return html`<div class="unseen" aria-live="polite">${said}</div>`;
}

const WHY_OUT = { logout: 'You are logged out.', over: 'This login is over: it was ended, or a week has gone by.' };

function Login({ problem }) {
  const why = problem ? '' : WHY_OUT[whyLoggedOut()];
  useEffect(() => { document.title = 'Ringmaster'; }, []);
  return html`<main id="main" class="login"><h1>Ringmaster</h1>
    ${problem && html`<${ErrorBox} error=${problem} />`}
    ${why && html`<p role="status">${why}</p>`}
    <p>This page needs a login link, which is good once. In a terminal on the daemon's machine:</p>
    <p><${Command} text="rmctl dashboard" /></p>
    <p class="hint">It opens the page here; with <code>--url</code> it prints the link, for another browser.</p></main>`;
}

function App({ problem }) {
  const [isIn, setIn] = useState(hasLogin());
  useEffect(() => onLogin(setIn), []);
  const route = useRoute();
  const start = useRef(route.key);
  if (start.current !== route.key) start.current = null;
  useKeys();
  if (!isIn) return html`<${Login} problem=${problem} />`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>Skip to the content</a>
    <${Header} route=${route} />
    <main id="main" tabIndex="-1"><${Away} /><${Outdated} /><${Problem} /><${View} route=${route} isFirst=${start.current !== null} /></main>
    <${Announcer} route=${route} /><${Toasts} />`;
}

function Problem() {
  const problem = useStore((state) => state.problem);
  const isAway = useStore((state) => state.connection !== 'live');
  // Of a daemon that is away the page says so once.
  if (!problem || problem.kind === 'unauthorized' || (isAway && problem.kind === 'network')) return null;
  return html`<${ErrorBox} error=${problem} />`;
}

async function start() {
  const code = takeCode();
  let problem = null;
  if (code) {
    try {
      await login(code);
    } catch (error) {
      problem = error;
    }
  }
  startStore();
  const host = document.getElementById('app');
  host.textContent = '';
  render(html`<${App} problem=${problem} />`, host);
  // The other views while nobody waits: they are there then when the daemon is not, and all of one generation.
  setTimeout(() => { if (hasLogin()) for (const view of Object.values(VIEWS)) view.load().catch(() => {}); }, OTHERS_AFTER_MS);
}

// A login link that is opened in a tab of this page changes its fragment alone.
addEventListener('hashchange', () => { if (location.hash.startsWith('#code=')) location.reload(); });
start();
