-- The queue as a graph, with an order of its own, budgets, pauses and questions that answer themselves.
-- What each column counts is in docs/queue.md.

-- Code before this one keeps no counts of children and knows one kind of dependency. What it wrote has schema 0, and
-- the start of newer code counts those tasks anew.
ALTER TABLE events ADD COLUMN schema INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_old ON events (seq) WHERE schema = 0;
CREATE TABLE recounted (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO recounted (id, seq) SELECT 1, coalesce(max(seq), 0) FROM events;

ALTER TABLE tasks ADD COLUMN type TEXT NOT NULL DEFAULT 'task';
-- Order of work: lower goes first. 0 is a row that older code left; the start ranks those.
ALTER TABLE tasks ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN deadline_at REAL;
-- When it came to this queue, from which its rank is reckoned; what was imported was created before. 0: created_at.
ALTER TABLE tasks ADD COLUMN arrived_at REAL NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN held_at REAL;
-- Of parent-child dependencies on this task: the last number given to one, all of them, those not ended, those done.
ALTER TABLE tasks ADD COLUMN last_child INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN children INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN open_children INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN done_children INTEGER NOT NULL DEFAULT 0;
-- How the last attempt failed, numbers and paths taken out, and how often in a row.
ALTER TABLE tasks ADD COLUMN failure TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN same_failures INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET rank = CAST(created_at AS INTEGER)
    + CASE priority WHEN 0 THEN -2592000 WHEN 1 THEN 0 WHEN 2 THEN 172800 WHEN 3 THEN 432000 ELSE 864000 END;

-- The same names and conditions, so that older code still finds them.
DROP INDEX tasks_claim;
CREATE INDEX tasks_claim ON tasks (demand_id, rank, seq)
    WHERE state = 'open' AND open_blockers = 0 AND not_before_at IS NULL;
DROP INDEX tasks_open;
CREATE INDEX tasks_open ON tasks (rank, seq) WHERE state IN ('draft', 'open', 'running', 'validating', 'landing');

ALTER TABLE dependencies ADD COLUMN mode TEXT NOT NULL DEFAULT '';
-- An epic can have very many children: who waits for it must be found without reading them.
CREATE INDEX dependencies_on ON dependencies (blocker_id, kind, task_id);
-- The graph that ranks are computed from: what is waited for now, and whose children are not all gone.
CREATE INDEX dependencies_open ON dependencies (task_id, blocker_id, kind, mode)
    WHERE is_open = 1 AND kind IN ('blocks', 'waits-for');
CREATE INDEX tasks_parents ON tasks (seq) WHERE open_children > 0;
CREATE UNIQUE INDEX dependencies_parent ON dependencies (task_id) WHERE kind = 'parent-child';

-- What a task's place in the graph does to its rank: base, and seconds that each rule adds, negative ones for earlier.
-- Their sum is `rank`; a row of tasks that has another was edited since. chain and unblocks are counts of tasks.
CREATE TABLE order_terms (
    seq             INTEGER PRIMARY KEY REFERENCES tasks (seq),
    rank            INTEGER NOT NULL,
    base            INTEGER NOT NULL,
    critical_path_s INTEGER NOT NULL,
    unblocks_s      INTEGER NOT NULL,
    pagerank_s      INTEGER NOT NULL,
    betweenness_s   INTEGER NOT NULL,
    capped_s        INTEGER NOT NULL,
    deadline_s      INTEGER NOT NULL,
    inherited_s     INTEGER NOT NULL,
    floor_s         INTEGER NOT NULL,
    chain           INTEGER NOT NULL,
    unblocks        INTEGER NOT NULL,
    inherited_from  INTEGER NOT NULL
) STRICT;

-- project_id '' is all of them together. NULL: no limit.
CREATE TABLE budgets (
    project_id   TEXT PRIMARY KEY,
    max_attempts INTEGER CHECK (max_attempts >= 0),
    max_usd      REAL CHECK (max_usd >= 0)
) STRICT, WITHOUT ROWID;

-- day: of UTC, as 2026-11-30. has_unknown: something was spent and nobody knows how much.
CREATE TABLE spending (
    project_id  TEXT NOT NULL,
    day         TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    usd         REAL NOT NULL DEFAULT 0,
    has_unknown INTEGER NOT NULL DEFAULT 0 CHECK (has_unknown IN (0, 1)),
    PRIMARY KEY (project_id, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX spending_day ON spending (day);

-- Metered attempts that hold a seat. limit_usd: what each may spend, NULL without a limit; told_usd: what it said it did.
CREATE TABLE reserved (
    attempt_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    limit_usd  REAL,
    told_usd   REAL,
    is_begun   INTEGER NOT NULL DEFAULT 0 CHECK (is_begun IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Labels of which settings let only so many run: each is a capability `label:<name>` of the demands of its tasks. A row
-- goes only when no demand has it any more. seq: how far tasks have been given new demands; NULL: all of them.
CREATE TABLE limited_labels (
    label      TEXT PRIMARY KEY,
    seq        INTEGER,
    is_limited INTEGER NOT NULL CHECK (is_limited IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Tasks on which so many depend that these are asked anew in pieces, by kind and id: the last one that was.
CREATE TABLE spreading (
    blocker_id TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    task_id    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What is not given out for now: scope 'queue' with an empty name, or 'agent' with its name.
CREATE TABLE pauses (
    scope     TEXT NOT NULL,
    name      TEXT NOT NULL DEFAULT '',
    reason    TEXT NOT NULL,
    actor     TEXT NOT NULL DEFAULT '',
    paused_at REAL NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- Starts of an agent kind that failed in a row, whatever the task.
CREATE TABLE spawn_failures (
    agent TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE decisions ADD COLUMN recommendation TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN urgency TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE decisions ADD COLUMN default_answer TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN default_at REAL;
CREATE INDEX decisions_default ON decisions (default_at) WHERE state = 'open' AND default_at IS NOT NULL;
-- Who tells of new questions finds them after its cursor without reading the events between.
CREATE INDEX events_asked ON events (seq) WHERE type = 'decision.opened';
CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What is not about a task is found by its type: since when a project is paused, an account rests. A seat is freed
-- after each attempt, which nobody looks for.
CREATE INDEX events_aside ON events (type, seq) WHERE task_id = '' AND type <> 'worker.freed';

CREATE TABLE comments (
    id      INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL REFERENCES tasks (id),
    author  TEXT NOT NULL,
    text    TEXT NOT NULL,
    at      REAL NOT NULL
) STRICT;
CREATE INDEX comments_task ON comments (task_id, id);

-- What another system knew of a task and we have no column for: the fields of its record, as they came. The digest
-- is of the whole record, and tells whether it is still the one that was taken.
CREATE TABLE imported (
    task_id TEXT PRIMARY KEY REFERENCES tasks (id),
    source  TEXT NOT NULL,
    fields  TEXT NOT NULL,
    digest  TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- What is to become of those that wait for a task whose live attempt a person has ended: '', keep, free or cancel.
ALTER TABLE attempts ADD COLUMN on_cancel TEXT NOT NULL DEFAULT '';

-- Which events were taken back, and by which.
CREATE TABLE undone (
    seq    INTEGER PRIMARY KEY,
    by_seq INTEGER NOT NULL
) STRICT;
