// The daemon, as the page sees it: login, calls, the feed. README.md in this directory has the contract.
//
//   rpc(method, params, {signal})     -> result; throws RpcError {kind, message, hint, isRetryable}
//   mutate(method, params)            -> the same under an idempotency key, repeated while the daemon reloads
//   rpcBatch([[method, params], …])   -> results and RpcErrors, none of them thrown
//   openFeed(subscription, {onMessages, onState}) -> {close(), cursor}
//   login(code), logout(), hasLogin(), onLogin(listener), toHash(view, ...parts), navigate(hash)

const STORED = 'ringmaster.login';
const REPEAT_FOR_MS = 30_000;
const FIRST_WAIT_MS = 150;
const LONGEST_WAIT_MS = 10_000;
const BATCH = 100;

export class RpcError extends Error {
  constructor(kind, message, hint = '', isRetryable = false) {
    super(message);
    this.name = 'RpcError';
    this.kind = kind;
    this.hint = hint;
    this.isRetryable = isRetryable;
  }
}

// -- login

let bearer = readStored();
const loginListeners = new Set();
let whyOut = '';

/** Why there is no login any more: 'logout', 'over', or '' where there was none. */
export const whyLoggedOut = () => whyOut;

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) || 'null');
    return stored && typeof stored.login === 'string' ? stored.login : '';
  } catch {
    return '';
  }
}

function keep(login, expiresAt) {
  bearer = login;
  try {
    if (login) localStorage.setItem(STORED, JSON.stringify({ login, expires_at: expiresAt }));
    else localStorage.removeItem(STORED);
  } catch {
    // Without storage the login lasts as long as the page.
  }
  for (const listener of loginListeners) listener(Boolean(login));
}

// Another tab may have got a login since: that one is taken, and never thrown away for the end of an older one.
function giveUpLogin() {
  const stored = readStored();
  if (stored && stored !== bearer) {
    bearer = stored;
    return true;
  }
  if (bearer) whyOut = 'over';
  keep('', null);
  return false;
}

addEventListener('storage', (event) => {
  if (event.key !== STORED && event.key !== null) return;
  const stored = readStored();
  if (stored === bearer) return;
  if (!stored) whyOut = 'logout';
  bearer = stored;
  for (const listener of loginListeners) listener(Boolean(stored));
});

export const hasLogin = () => Boolean(bearer);

export function onLogin(listener) {
  loginListeners.add(listener);
  return () => loginListeners.delete(listener);
}

// The code of a login link is good once: it leaves the address before it is sent, so that no reload tries it again.
export function takeCode() {
  const found = /^#code=(.+)$/.exec(location.hash);
  if (!found) return '';
  history.replaceState(null, '', location.pathname + '#/');
  return decodeURIComponent(found[1]);
}

export async function login(code) {
  const answer = await post('/login', { code }, false);
  if (!answer.ok) {
    throw new RpcError('unauthorized', 'This login link has been used, or is too old.', 'rmctl dashboard');
  }
  const { login: word, expires_at: expiresAt } = await answer.json();
  keep(word, expiresAt);
}

export async function logout() {
  try {
    await post('/logout', {});
  } finally {
    whyOut = 'logout';
    keep('', null);
  }
}

// -- calls

async function post(path, body, isNamed = true, signal = undefined) {
  const headers = { 'Content-Type': 'application/json' };
  if (isNamed) headers.Authorization = `Bearer ${bearer}`;
  try {
    return await fetch(path, {
      method: 'POST', headers, body: JSON.stringify(body), signal, credentials: 'omit', cache: 'no-store',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new RpcError('network', 'The daemon cannot be reached.', 'rmctl status', true);
  }
}

async function call(document, signal) {
  let answer = await post('/rpc', document, true, signal);
  if (answer.status === 401 && giveUpLogin()) answer = await post('/rpc', document, true, signal);
  if (answer.status === 401) {
    giveUpLogin();
    throw new RpcError('unauthorized', 'The login is over.', 'rmctl dashboard');
  }
  let body = null;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
  }
  if (body === null || !(Array.isArray(body) || 'result' in body || (body.error && typeof body.error === 'object'))) {
    const isDown = answer.status >= 500;
    throw new RpcError(isDown ? 'network' : 'refused', `The daemon answered ${answer.status}.`, '', isDown);
  }
  return body;
}

function toError({ message, data }) {
  return new RpcError(data?.kind || 'internal', message, data?.hint || '', Boolean(data?.retryable));
}

export async function rpc(method, params = {}, { signal } = {}) {
  const body = await call({ jsonrpc: '2.0', id: 1, method, params }, signal);
  if (body.error) throw toError(body.error);
  return body.result;
}

export async function rpcBatch(calls, { signal } = {}) {
  const results = [];
  for (let start = 0; start < calls.length; start += BATCH) {
    const part = calls.slice(start, start + BATCH);
    const answers = await call(part.map(([method, params], id) => ({ jsonrpc: '2.0', id, method, params })), signal);
    if (!Array.isArray(answers)) throw toError(answers.error);
    const byId = new Map(answers.map((answer) => [answer.id, answer]));
    for (let id = 0; id < part.length; id += 1) {
      const answer = byId.get(id);
      if (!answer) results.push(new RpcError('internal', 'The daemon left a call unanswered.'));
      else results.push(answer.error ? toError(answer.error) : answer.result);
    }
  }
  return results;
}

// randomUUID is there on loopback and over TLS alone; other addresses can be set.
function makeKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export async function mutate(method, params = {}) {
  const keyed = { ...params, idempotency_key: makeKey() };
  const until = performance.now() + REPEAT_FOR_MS;
  for (let tries = 0; ; tries += 1) {
    try {
      return await rpc(method, keyed);
    } catch (error) {
      if (error.kind !== 'network' || performance.now() > until) throw error;
      await pause(waitAfter(tries));
    }
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Spread, so that the tabs of a browser do not come back all at once.
function waitAfter(tries) {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(tries, 10)) * (0.75 + Math.random() / 2);
}

// -- the feed

// Events are handed on at once, and what comes twice after a break is known by its `seq`. Output cannot be cut at an
// offset of its file, because what is shown is cleaned: it is handed on at the next mark, and what no mark followed is
// dropped with its connection and comes again.
export function openFeed(subscription, { onMessages, onState = () => {} }) {
  let cursor = subscription.cursor || '';
  let socket = null;
  let timer = null;
  let tries = 0;
  let lastSeq = 0;
  let held = [];
  let isClosed = false;

  function take(text) {
    const now = [];
    for (const line of text.split('\n')) {
      if (!line) continue;
      const message = JSON.parse(line);
      if (message.kind === 'event') {
        if (message.event.seq > lastSeq) {
          lastSeq = message.event.seq;
          now.push(message);
        }
      } else if (message.kind === 'lines' || message.kind === 'steps') {
        held.push(message);
      } else {
        if (message.kind === 'snapshot') lastSeq = 0;
        if (message.cursor) cursor = message.cursor;
        if (message.cursor && message.kind !== 'hello') {
          now.push(...held);
          held = [];
        }
        now.push(message);
      }
    }
    if (now.length) onMessages(now);
  }

  function comeBack(isReload) {
    socket = null;
    held = [];
    if (isClosed) return;
    onState('waiting');
    if (isReload) tries = 0;
    timer = setTimeout(connect, waitAfter(tries));
    tries += 1;
  }

  async function connect() {
    timer = null;
    onState('connecting');
    let ticket;
    try {
      const answer = await post('/ticket', {});
      if (answer.status === 401 && !giveUpLogin()) {
        onState('closed');
        return;
      }
      if (!answer.ok) throw new RpcError('network', `no ticket: ${answer.status}`);
      ({ ticket } = await answer.json());
    } catch {
      comeBack(false);
      return;
    }
    if (isClosed) return;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const mine = new WebSocket(`${scheme}://${location.host}/stream?ticket=${encodeURIComponent(ticket)}`);
    socket = mine;
    mine.onopen = () => mine.send(JSON.stringify({ kind: 'subscribe', ...subscription, cursor }));
    mine.onmessage = ({ data }) => {
      if (mine !== socket) return;
      if (tries) tries = 0;
      onState('live');
      take(data);
    };
    mine.onclose = ({ code }) => {
      if (mine === socket) comeBack(code === 1012);
    };
  }

  connect();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
      if (socket) socket.close(1000);
      socket = null;
      onState('closed');
    },
    get cursor() {
      return cursor;
    },
  };
}

// -- addresses

export const toHash = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;

export function navigate(hash) {
  location.hash = hash;
}
