-- The instance's id lives among the facts that the migrations keep about the database.

-- name: insert
INSERT INTO meta (key, value) VALUES ('instance_id', ?) ON CONFLICT DO NOTHING

-- name: read
SELECT value FROM meta WHERE key = 'instance_id'

-- name: note_alive
-- Another value each time: SQLite writes no page for one that is the same.
INSERT INTO meta (key, value) VALUES ('alive', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value
