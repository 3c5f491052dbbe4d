-- The base schema. Times are unix seconds UTC; lists and structs are JSON text. Later migrations
-- only add (a table, a column with a default, an index), so that older code can read what newer code left.

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,          -- dense: never deleted from the middle, rolled back with its transaction
    at          REAL NOT NULL,
    type        TEXT NOT NULL,
    project_id  TEXT NOT NULL DEFAULT '',
    task_id     TEXT NOT NULL DEFAULT '',
    attempt_id  TEXT NOT NULL DEFAULT '',
    worker_id   TEXT NOT NULL DEFAULT '',
    decision_id TEXT NOT NULL DEFAULT '',
    actor       TEXT NOT NULL DEFAULT '',
    data        TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX events_task ON events (task_id, seq) WHERE task_id <> '';

CREATE TABLE projects (
    id            TEXT PRIMARY KEY,
    path          TEXT NOT NULL,
    common_dir    TEXT NOT NULL UNIQUE,
    target        TEXT NOT NULL,
    state         TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    paused_reason TEXT NOT NULL DEFAULT '',
    parked_commit TEXT NOT NULL DEFAULT '',
    config        TEXT NOT NULL,
    max_running   INTEGER NOT NULL CHECK (max_running >= 0),   -- beside config so that the claim need not parse it
    version       INTEGER NOT NULL DEFAULT 1,
    created_at    REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- What a seat must offer for a task. There are a handful of these, whatever the number of tasks.
CREATE TABLE demands (
    id           INTEGER PRIMARY KEY,
    project_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    agent        TEXT NOT NULL,                -- '' takes any
    capabilities TEXT NOT NULL,                -- sorted JSON list
    UNIQUE (project_id, agent, capabilities)
) STRICT;

CREATE TABLE tasks (
    seq              INTEGER PRIMARY KEY,      -- order of arrival
    id               TEXT NOT NULL UNIQUE,
    project_id       TEXT NOT NULL REFERENCES projects (id),
    demand_id        INTEGER NOT NULL REFERENCES demands (id),
    title            TEXT NOT NULL,
    description      TEXT NOT NULL DEFAULT '',
    priority         INTEGER NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 4),
    labels           TEXT NOT NULL DEFAULT '[]',
    acceptance       TEXT NOT NULL DEFAULT '[]',
    capabilities     TEXT NOT NULL DEFAULT '[]',
    agent            TEXT NOT NULL DEFAULT '',
    model            TEXT NOT NULL DEFAULT '',
    limits           TEXT NOT NULL DEFAULT '{}',
    max_attempts     INTEGER NOT NULL DEFAULT 3 CHECK (max_attempts >= 1),
    is_diff_needed   INTEGER NOT NULL DEFAULT 1 CHECK (is_diff_needed IN (0, 1)),
    state            TEXT NOT NULL CHECK (state IN
                     ('draft', 'open', 'running', 'validating', 'landing', 'done', 'failed', 'cancelled')),
    open_blockers    INTEGER NOT NULL DEFAULT 0 CHECK (open_blockers >= 0),
    not_before_at    REAL,                     -- cleared when due, so that the claim's index holds only what may run
    attempt_number   INTEGER NOT NULL DEFAULT 0,
    counted_attempts INTEGER NOT NULL DEFAULT 0,
    streak           INTEGER NOT NULL DEFAULT 0,
    done_by          TEXT NOT NULL DEFAULT '',
    landed_commit    TEXT NOT NULL DEFAULT '',
    version          INTEGER NOT NULL DEFAULT 1,
    created_at       REAL NOT NULL,
    updated_at       REAL NOT NULL
) STRICT;
-- The claim: one look-up per demand in the order of work.
CREATE INDEX tasks_claim ON tasks (demand_id, priority, seq)
    WHERE state = 'open' AND open_blockers = 0 AND not_before_at IS NULL;
CREATE INDEX tasks_due ON tasks (not_before_at) WHERE not_before_at IS NOT NULL;
CREATE INDEX tasks_open ON tasks (priority, seq) WHERE state IN ('draft', 'open', 'running', 'validating', 'landing');
CREATE INDEX tasks_by_state ON tasks (state, project_id);

CREATE TABLE dependencies (
    task_id    TEXT NOT NULL REFERENCES tasks (id),
    blocker_id TEXT NOT NULL REFERENCES tasks (id),
    kind       TEXT NOT NULL DEFAULT 'blocks',
    is_open    INTEGER NOT NULL CHECK (is_open IN (0, 1)),   -- counted in tasks.open_blockers while 1
    created_at REAL NOT NULL,
    PRIMARY KEY (task_id, blocker_id, kind),
    CHECK (task_id <> blocker_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_blocker ON dependencies (blocker_id, task_id);

-- Rows lie in the order of their start: they are long, change twice, and by id would lie all over the file.
CREATE TABLE attempts (
    id          TEXT NOT NULL PRIMARY KEY,
    task_id     TEXT NOT NULL REFERENCES tasks (id),
    number      INTEGER NOT NULL,
    project_id  TEXT NOT NULL,
    worker_id   TEXT NOT NULL,
    agent       TEXT NOT NULL,
    token       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'validating', 'landing', 'ended')),
    outcome     TEXT,
    reason      TEXT NOT NULL DEFAULT '',
    branch      TEXT NOT NULL DEFAULT '',
    base_commit TEXT NOT NULL DEFAULT '',
    head_commit TEXT NOT NULL DEFAULT '',
    is_accepted INTEGER NOT NULL DEFAULT 0 CHECK (is_accepted IN (0, 1)),
    is_cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (is_cancel_requested IN (0, 1)),
    landing     TEXT,
    lane_at     REAL,
    report      TEXT NOT NULL DEFAULT '{}',
    started_at  REAL NOT NULL,
    ended_at    REAL,
    UNIQUE (task_id, number),
    CHECK ((state = 'ended') = (outcome IS NOT NULL))
) STRICT;
-- One task, one live attempt: the database refuses a second.
CREATE UNIQUE INDEX attempts_live ON attempts (task_id) WHERE state <> 'ended';
CREATE INDEX attempts_live_project ON attempts (project_id, state) WHERE state <> 'ended';
CREATE INDEX attempts_started ON attempts (started_at);
CREATE INDEX attempts_ended ON attempts (ended_at) WHERE state = 'ended';

CREATE TABLE workers (
    id           TEXT PRIMARY KEY,
    agent        TEXT NOT NULL,
    command      TEXT NOT NULL DEFAULT '[]',
    project_id   TEXT NOT NULL DEFAULT '',
    capabilities TEXT NOT NULL DEFAULT '[]',
    state        TEXT NOT NULL CHECK (state IN ('active', 'paused', 'stopped')),
    attempt_id   TEXT NOT NULL DEFAULT '',
    created_at   REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    task_id     TEXT NOT NULL DEFAULT '',
    attempt_id  TEXT NOT NULL DEFAULT '',
    question    TEXT NOT NULL,
    detail      TEXT NOT NULL DEFAULT '',
    options     TEXT NOT NULL DEFAULT '[]',
    state       TEXT NOT NULL CHECK (state IN ('open', 'answered', 'withdrawn')),
    answer      TEXT NOT NULL DEFAULT '',
    message     TEXT NOT NULL DEFAULT '',
    answered_by TEXT NOT NULL DEFAULT '',
    created_at  REAL NOT NULL,
    answered_at REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_open ON decisions (created_at) WHERE state = 'open';
CREATE INDEX decisions_task ON decisions (task_id) WHERE task_id <> '';

CREATE TABLE receipts (
    id           INTEGER PRIMARY KEY,
    project_id   TEXT NOT NULL,
    attempt_id   TEXT NOT NULL DEFAULT '',
    gate         TEXT NOT NULL,
    "commit"     TEXT NOT NULL,
    tree         TEXT NOT NULL,
    result       TEXT NOT NULL,
    tests_total  INTEGER,
    tests_failed TEXT NOT NULL DEFAULT '[]',
    is_flaky     INTEGER NOT NULL DEFAULT 0,
    job          TEXT NOT NULL DEFAULT '',
    started_at   REAL NOT NULL,
    ended_at     REAL NOT NULL
) STRICT;
CREATE INDEX receipts_commit ON receipts (project_id, "commit");
CREATE INDEX receipts_tree ON receipts (project_id, tree) WHERE result = 'green';
CREATE INDEX receipts_attempt ON receipts (attempt_id) WHERE attempt_id <> '';

-- A request answered once is answered the same when it is repeated under its key.
CREATE TABLE idempotency (
    key        TEXT PRIMARY KEY,
    method     TEXT NOT NULL,
    digest     TEXT NOT NULL,
    result     BLOB NOT NULL,
    created_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);
