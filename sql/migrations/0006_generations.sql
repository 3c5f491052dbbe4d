-- Each release of the daemon's own code that ran or was to run. No row is ever removed.
CREATE TABLE generations (
    id         INTEGER PRIMARY KEY,
    release    TEXT NOT NULL,
    digest     TEXT NOT NULL,
    python     TEXT NOT NULL,
    parent     INTEGER NOT NULL DEFAULT 0,
    source     TEXT NOT NULL,
    project_id TEXT NOT NULL DEFAULT '',
    "commit"   TEXT NOT NULL DEFAULT '',
    tree       TEXT NOT NULL DEFAULT '',
    state      TEXT NOT NULL CHECK (state IN ('candidate', 'trial', 'good', 'bad', 'superseded')),
    reason     TEXT NOT NULL DEFAULT '',
    receipts   TEXT NOT NULL DEFAULT '[]',
    measures   TEXT NOT NULL DEFAULT '{}',
    created_at REAL NOT NULL,
    tried_at   REAL,
    settled_at REAL
) STRICT;
CREATE INDEX generations_unsettled ON generations (id) WHERE state IN ('candidate', 'trial');
CREATE INDEX generations_release ON generations (release);

-- From when on which generation ran: until the row with the next number. Restarts of the same one add none.
CREATE TABLE generation_runs (
    id         INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    began_at   REAL NOT NULL
) STRICT;
CREATE INDEX generation_runs_of ON generation_runs (generation);

-- The newest question about a bad release, answered or not: what becomes of the project's lane hangs on it.
CREATE INDEX decisions_bad_release ON decisions (project_id, created_at) WHERE kind = 'bad_release';
