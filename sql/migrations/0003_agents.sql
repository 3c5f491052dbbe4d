-- What an attempt's agent is and costs. cost_usd and tokens are this attempt's alone, sessions go over several.
ALTER TABLE attempts ADD COLUMN session_id TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN cost_usd REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN tokens_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN tokens_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN model TEXT NOT NULL DEFAULT '';

-- Who pays. The id holds a digest, the label what a person knows it by; never a credential.
CREATE TABLE accounts (
    id              TEXT PRIMARY KEY,
    agent           TEXT NOT NULL,                  -- the agent by which it was last seen
    label           TEXT NOT NULL,
    paused_until_at REAL,                           -- NULL: not paused
    paused_reason   TEXT NOT NULL DEFAULT '',
    updated_at      REAL NOT NULL
) STRICT, WITHOUT ROWID;
