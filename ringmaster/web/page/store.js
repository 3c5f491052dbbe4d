// What all views share, kept up to date by one feed of events without output; and the hooks over it.

import { hasLogin, onLogin, openFeed, rpc, rpcBatch } from './client.js';
import { useCallback, useEffect, useReducer, useRef, useState } from './vendor/preact.js';

const GATHER_MS = 150;
const TASKS_PAGE = 1000;
const TASKS_SINGLY = 25;
const TICK_MS = 5000;

const EMPTY = {
  status: null, health: null, connection: 'connecting', awaySince: null, generation: '', projects: null, agents: null,
  tasks: new Map(), tasksVersion: 0, isTasksWhole: false, now: Date.now() / 1000, cursor: 0, problem: null,
};
let state = EMPTY;
const listeners = new Set();
const eventListeners = new Set();

export const getState = () => state;

export function setState(changes) {
  state = { ...state, ...changes };
  for (const listener of [...listeners]) listener();
}

// -- matching events

export function matches(refreshOn, event) {
  if (!refreshOn) return false;
  if (typeof refreshOn === 'function') return refreshOn(event);
  return refreshOn.some((type) => (type.endsWith('.') ? event.type.startsWith(type) : event.type === type));
}

// Runs `act` once for all that comes within GATHER_MS, and never twice at a time: a refresh that is asked for while
// one is under way follows it.
function gather(act) {
  let timer = null;
  let isBusy = false;
  let isAsked = false;
  async function run() {
    timer = null;
    if (isBusy) {
      isAsked = true;
      return;
    }
    isBusy = true;
    try {
      await act();
    } finally {
      isBusy = false;
      if (isAsked) {
        isAsked = false;
        ask();
      }
    }
  }
  function ask() {
    if (timer === null) timer = setTimeout(run, GATHER_MS);
  }
  return ask;
}

// -- loading

const STATUS_QUIET = ['attempt.job_', 'attempt.reported', 'attempt.prepared', 'task.commented', 'order.changed'];

async function load(method, into) {
  try {
    const answer = await rpc(method);
    // What comes after the login has ended is not for whoever is there now.
    if (hasLogin()) setState({ ...into(answer), problem: null });
  } catch (error) {
    setState({ problem: error });
  }
}

const loadStatus = () => load('daemon.status', (status) => ({ status, health: status.health }));
const loadProjects = () => load('project.list', ({ projects }) => ({ projects }));
const loadAgents = () => load('agent.list', ({ agents }) => ({ agents }));

// Several readers of a list want no torn one: the map is changed in place, and its version says that it was.
function putTasks(views) {
  for (const view of views) state.tasks.set(view.task.id, view);
}

let isLoadingTasks = false;
let areTasksWanted = false;
const changed = new Set();

async function loadTasks() {
  if (isLoadingTasks) return;
  isLoadingTasks = true;
  try {
    const fresh = new Map();
    let cursor = 0;
    do {
      const page = await rpc('task.list', { is_all: true, limit: TASKS_PAGE, cursor });
      if (!hasLogin()) return;
      for (const view of page.tasks) fresh.set(view.task.id, view);
      cursor = page.next_cursor;
      if (!state.isTasksWhole) {
        putTasks(page.tasks);
        setState({ tasksVersion: state.tasksVersion + 1 });
      }
    } while (cursor !== null);
    setState({ tasks: fresh, tasksVersion: state.tasksVersion + 1, isTasksWhole: true, problem: null });
  } catch (error) {
    setState({ problem: error });
  } finally {
    isLoadingTasks = false;
  }
}

async function refreshTasks() {
  if (!areTasksWanted || !changed.size) return;
  const ids = [...changed];
  changed.clear();
  if (ids.length > TASKS_SINGLY) {
    await loadTasks();
    return;
  }
  try {
    const details = await rpcBatch(ids.map((id) => ['task.show', { id, limit: 1 }]));
    if (!hasLogin()) return;
    putTasks(details.filter((detail) => !(detail instanceof Error)).map((detail) => detail.view));
    setState({ tasksVersion: state.tasksVersion + 1 });
  } catch (error) {
    for (const id of ids) changed.add(id);
    setState({ problem: error });
  }
}

// The list of tasks is the one thing that can be large: it is loaded when a view wants it first, and kept then.
export function useTasks() {
  useEffect(() => {
    if (!areTasksWanted) {
      areTasksWanted = true;
      loadTasks();
    }
  }, []);
  return useStore((now) => now.tasksVersion);
}

const askStatus = gather(loadStatus);
const askProjects = gather(loadProjects);
const askAgents = gather(loadAgents);
const askTasks = gather(refreshTasks);

function takeEvents(events) {
  for (const event of events) {
    if (event.task_id) changed.add(event.task_id);
    if (!STATUS_QUIET.some((type) => event.type.startsWith(type))) askStatus();
    if (event.type.startsWith('project.')) askProjects();
    if (/^(agent|account|worker)\./.test(event.type)) askAgents();
  }
  if (changed.size) askTasks();
  const last = events[events.length - 1];
  if (last) setState({ cursor: last.seq });
  for (const listener of [...eventListeners]) listener(events);
}

function loadAll() {
  askStatus();
  askProjects();
  askAgents();
  if (areTasksWanted) loadTasks();
  for (const listener of [...eventListeners]) listener(null);
}

// Answers that did not come while the daemon was away, of views that are shown.
const failedListeners = new Set();

function loadFailed() {
  for (const listener of [...failedListeners]) listener();
}

let shared = null;
let greeted = '';

function takeMessages(messages) {
  const events = [];
  for (const message of messages) {
    if (message.kind === 'event') events.push(message.event);
    // A generation that is another answers with its own state, of which no event tells. After `snapshot` events are missing.
    else if (message.kind === 'snapshot') loadAll();
    else if (message.kind === 'hello') {
      const name = `${message.instance} ${message.generation}`;
      if (greeted && greeted !== name) loadAll();
      // What was asked for while nobody answered has failed, and no event asks again.
      else if (greeted && state.problem) loadAll();
      else if (greeted) loadFailed();
      greeted = name;
      setState({ generation: name });
    }
  }
  if (events.length) takeEvents(events);
}

export function startStore() {
  const follow = (isIn) => {
    if (shared) shared.close();
    shared = null;
    if (!isIn) {
      // Nothing of what was shown is kept for whoever comes next.
      state = { ...EMPTY, tasks: new Map(), tasksVersion: state.tasksVersion + 1 };
      changed.clear();
      greeted = '';
      areTasksWanted = false;
      setState({});
      return;
    }
    shared = openFeed({ output: [] }, {
      onMessages: takeMessages,
      onState: (connection) => {
        if (connection !== state.connection) setState({ connection, awaySince: connection === 'live' ? null : state.awaySince || Date.now() / 1000 });
      },
    });
    loadAll();
  };
  onLogin(follow);
  if (hasLogin()) follow(true);
  // A tab that nobody sees needs no clock.
  setInterval(() => {
    if (document.visibilityState === 'visible') setState({ now: Date.now() / 1000 });
  }, TICK_MS);
}

// After what this page itself has changed: the event comes as well, but a person should not wait for it.
export function refreshAll() {
  askStatus();
}

// -- hooks

export function useStore(select) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  const last = useRef(null);
  last.current = { select, value: select(state) };
  useEffect(() => {
    const look = () => {
      const { select: newest, value } = last.current;
      if (!Object.is(newest(state), value)) redraw();
    };
    listeners.add(look);
    look();
    return () => listeners.delete(look);
  }, []);
  return last.current.value;
}

// onEvents(null): events may be missing, so whatever was derived from them is to be asked for anew.
function useRawEvents(onEvents) {
  const newest = useRef(onEvents);
  newest.current = onEvents;
  useEffect(() => {
    const listener = (events) => newest.current(events);
    eventListeners.add(listener);
    return () => eventListeners.delete(listener);
  }, []);
}

export function useEvents(refreshOn, onEvents) {
  useRawEvents((events) => {
    const found = events ? events.filter((event) => matches(refreshOn, event)) : [];
    if (found.length) onEvents(found);
  });
}

export function useRpc(method, params = {}, { refreshOn = null, every_s = 0, isOff = false } = {}) {
  const key = isOff ? '' : JSON.stringify([method, params]);
  const [answer, setAnswer] = useState({ key: '', result: null, error: null });
  const asked = useRef({ turn: 0, timer: null, key });
  asked.current.key = key;

  const refresh = useCallback(async () => {
    clearTimeout(asked.current.timer);
    asked.current.timer = null;
    const mine = asked.current.key;
    if (!mine) return;
    asked.current.turn += 1;
    const { turn } = asked.current;
    const [name, values] = JSON.parse(mine);
    let result = null;
    let error = null;
    try {
      result = await rpc(name, values);
    } catch (raised) {
      error = raised;
    }
    if (turn !== asked.current.turn) return;
    setAnswer((before) => ({ key: mine, result: error && before.key === mine ? before.result : result, error }));
  }, []);

  useEffect(() => {
    refresh();
    return () => {
      clearTimeout(asked.current.timer);
      asked.current.timer = null;
      asked.current.turn += 1;
    };
  }, [key]);
  useEffect(() => {
    if (!every_s) return undefined;
    const timer = setInterval(() => { if (document.visibilityState === 'visible') refresh(); }, every_s * 1000);
    return () => clearInterval(timer);
  }, [every_s]);
  useRawEvents((events) => {
    if (!refreshOn || asked.current.timer !== null) return;
    if (events === null || events.some((event) => matches(refreshOn, event))) {
      asked.current.timer = setTimeout(refresh, GATHER_MS);
    }
  });

  const hasFailed = answer.key === key && Boolean(answer.error);
  useEffect(() => {
    if (!hasFailed) return undefined;
    failedListeners.add(refresh);
    return () => failedListeners.delete(refresh);
  }, [hasFailed]);
  const isMine = answer.key === key;
  return {
    result: isMine ? answer.result : null,
    error: isMine ? answer.error : null,
    isLoading: !isOff && !isMine,
    refresh,
  };
}

export function useFeed(subscription, onMessages) {
  const key = subscription ? JSON.stringify(subscription) : '';
  const [connection, setConnection] = useState('connecting');
  const newest = useRef(onMessages);
  newest.current = onMessages;
  useEffect(() => {
    if (!key) return undefined;
    const feed = openFeed(JSON.parse(key), {
      onMessages: (messages) => newest.current(messages),
      onState: setConnection,
    });
    return () => feed.close();
  }, [key]);
  return connection;
}
