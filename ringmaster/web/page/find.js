// Which attempts said or did something: a search through the steps of all agents, and the steps around a match.
import { html, useEffect, useMemo, useRef, useState } from './vendor/preact.js';
import { navigate, rpc, toHash } from './client.js';
import { getState, useStore, useTasks } from './store.js';
import { ActionButton, Ago, Empty, ErrorBox, Loading } from './ui.js';
import { visible } from './lines.js';
import { LogBuffer } from './logbuffer.js';
import { LogText } from './logrow.js';
import { plural } from './words.js';

const AT_ONCE = 50;
const BEFORE = 10;
const AROUND_BYTES = 32_768;

/** Matches so far, and how to get more; an answer to an older question is dropped. */
function useMatches(question) {
  const [state, setState] = useState({ found: null, error: null, isLoading: false });
  const asked = useRef(null);
  const ask = async (cursor) => {
    const mine = { question };
    asked.current = mine;
    setState((old) => ({ found: cursor ? old.found : null, error: null, isLoading: true }));
    try {
      const answer = await rpc('logs.search', { ...question, limit: AT_ONCE, cursor });
      if (asked.current !== mine) return;
      setState((old) => ({ found: { ...answer, matches: [...(cursor && old.found ? old.found.matches : []), ...answer.matches] }, error: null, isLoading: false }));
    } catch (error) {
      if (asked.current === mine) setState((old) => ({ ...old, error, isLoading: false }));
    }
  };
  const key = JSON.stringify(question);
  useEffect(() => {
    if (question.pattern) ask('');
    else { asked.current = null; setState({ found: null, error: null, isLoading: false }); }
    return () => { asked.current = null; };
  }, [key]);
  return { ...state, more: () => ask(state.found.cursor), again: () => ask('') };
}

/** How a step ended, in words: colour alone says nothing. */
function Ending({ match }) {
  if (match.exit_code !== null && match.exit_code !== undefined) return html` <span class=${match.is_failed ? 'result-failed' : 'muted'}>exit ${match.exit_code}</span>`;
  return match.is_failed ? html` <span class="result-failed">failed</span>` : null;
}

function Match({ match }) {
  const number = match.attempt_id.split('/').pop();
  return html`<li class="match">
    <a href=${toHash('task', match.task_id, 'log', number, match.job, String(match.offset))}><code class="match-words">${visible(match.snippet, 600)}</code></a>
    <span class="muted">${match.kind}<${Ending} match=${match} />${match.at ? html` · <${Ago} at=${match.at} />` : ''}</span>
  </li>`;
}

/** In the order of the answer, which has an attempt's matches together. */
function byAttempt(matches) {
  const groups = new Map();
  for (const match of matches) {
    if (!groups.has(match.attempt_id)) groups.set(match.attempt_id, []);
    groups.get(match.attempt_id).push(match);
  }
  return [...groups];
}

function Found({ found, isLoading, more }) {
  const groups = useMemo(() => byAttempt(found.matches), [found]);
  useTasks();
  const { tasks } = getState();
  return html`
    <p class="hint" role="status">${plural(found.matches.length, 'step')}${found.cursor ? ' so far' : ''} in ${plural(groups.length, 'attempt')}</p>
    ${found.note && html`<p class="said">${found.note}</p>`}
    ${!groups.length && html`<${Empty}>No step has these words.<//>`}
    ${groups.map(([id, matches]) => html`<section key=${id} class="found" aria-label=${`Attempt ${id}`}>
      <h2><a href=${toHash('task', matches[0].task_id, 'log')}>${id}</a> <span class="muted">${visible(tasks.get(matches[0].task_id)?.task.title || matches[0].project_id, 120)}</span></h2>
      <ul>${matches.map((match) => html`<${Match} key=${`${match.job} ${match.offset} ${match.snippet}`} match=${match} />`)}</ul>
    </section>`)}
    ${found.cursor && html`<p><${ActionButton} disabled=${isLoading} onClick=${more}>More<//></p>`}`;
}

/** The search. pattern: what is looked for, of the address, so that going back finds it again. */
export function FindPage({ pattern }) {
  const projects = useStore((state) => state.projects) || [];
  const [typed, setTyped] = useState(pattern);
  const [project, setProject] = useState('');
  const [isFailed, setFailed] = useState(false);
  useEffect(() => setTyped(pattern), [pattern]);
  const { found, error, isLoading, more, again } = useMatches({ pattern, project_id: project, is_failed: isFailed });
  const look = (event) => {
    event.preventDefault();
    const words = typed.trim();
    if (words === pattern) again();
    else navigate(toHash('find', words));
  };
  return html`
    <h1>Find in logs</h1>
    <form class="row filters" role="search" onSubmit=${look}>
      <label class="grow"><span class="unseen">Words that a step holds</span><input type="search" required placeholder='All these words, "in a row", begin*  ( / )' value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>
      <label><span class="unseen">Project</span><select value=${project} onChange=${(event) => setProject(event.target.value)}><option value="">all projects</option>${projects.map(({ id }) => html`<option key=${id} value=${id}>${id}</option>`)}</select></label>
      <label class="row tight"><input type="checkbox" checked=${isFailed} onChange=${(event) => setFailed(event.target.checked)} /> only what failed</label>
      <button type="submit" class="primary">Find</button>
    </form>
    ${error && html`<${ErrorBox} error=${error} onRetry=${again} />`}
    ${isLoading && !found && html`<${Loading} what="matches" />`}
    ${found && html`<${Found} found=${found} isLoading=${isLoading} more=${more} />`}
    ${!pattern && html`<p class="hint">What agents said and did, in all attempts: their words, tools, commands and files. The raw output of an attempt is searched on its own page.</p>`}`;
}

/** The steps around a match. place: {job, offset} of its line. */
export function LogPlace({ attemptId, place, onLeave }) {
  const [{ before, after, error }, setState] = useState({ before: null, after: null, error: null });
  const box = useRef(null);
  const load = async () => {
    const base = { id: attemptId, stream: 'steps', job: place.job };
    try {
      const [earlier, later] = await Promise.all([
        place.offset ? rpc('logs.read', { ...base, before: place.offset, tail_lines: BEFORE }) : null,
        rpc('logs.read', { ...base, offset: place.offset, max_bytes: AROUND_BYTES }),
      ]);
      const rows = (chunk) => (chunk ? new LogBuffer('steps').rowsOf(chunk) : []).flatMap((row) => row.rest || [row]);
      setState({ before: rows(earlier), after: rows(later), error: null });
    } catch (failure) {
      setState({ before: null, after: null, error: failure });
    }
  };
  useEffect(() => { load(); }, [attemptId, place.job, place.offset]);
  useEffect(() => { if (after && box.current) box.current.scrollTop = box.current.querySelector('.log-chosen')?.offsetTop || 0; }, [after]);
  const row = (one, index, isMatch) => html`<div key=${index} class=${`log-${one.kind}${one.isFirst ? ' log-first' : ''}${isMatch ? ' log-chosen' : ''}`}><${LogText} row=${one} isStep=${true} /></div>`;
  return html`<section class="log-place" aria-label="Around the match">
    <div class="bar"><h2 class="grow">Around the match</h2><button type="button" onClick=${onLeave}>The whole log</button></div>
    ${error && html`<${ErrorBox} error=${error} onRetry=${load} />`}
    ${!after && !error && html`<${Loading} what="the steps around it" />`}
    ${after && html`<div class="log-lines log-around" tabIndex="0" role="region" aria-label="Steps around the match" ref=${box}>
      ${before.map((one, index) => row(one, `b${index}`, false))}
      ${after.map((one, index) => row(one, `a${index}`, index === 0))}</div>`}
  </section>`;
}
