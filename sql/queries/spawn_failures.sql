-- Agent kinds that could not be started, and those that are paused for it.

-- name: count
INSERT INTO spawn_failures (agent, count) VALUES (?, 1) ON CONFLICT (agent) DO UPDATE SET count = count + 1
RETURNING count

-- name: forget
DELETE FROM spawn_failures WHERE agent = ?

-- name: pause
INSERT INTO pauses (scope, name, reason, actor, paused_at) VALUES ('agent', :agent, :reason, :actor, :now)
ON CONFLICT DO NOTHING

-- name: resume
DELETE FROM pauses WHERE scope = 'agent' AND name = ?

-- name: paused
SELECT name, reason, paused_at FROM pauses WHERE scope = 'agent' ORDER BY name

-- name: is_paused
SELECT 1 FROM pauses WHERE scope = 'agent' AND name = ?
