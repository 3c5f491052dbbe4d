-- The instance's id lives among the facts that the migrations keep about the database.

-- name: insert
INSERT INTO meta (key, value) VALUES ('instance_id', ?) ON CONFLICT DO NOTHING

-- name: read
SELECT value FROM meta WHERE key = 'instance_id'
