-- The pause of the queue as a whole; those of agent kinds are in spawn_failures.sql.

-- name: pause_queue
INSERT INTO pauses (scope, name, reason, actor, paused_at) VALUES ('queue', '', :reason, :actor, :now)
ON CONFLICT DO NOTHING

-- name: resume_queue
DELETE FROM pauses WHERE scope = 'queue' AND name = ''

-- name: queue_pause
SELECT reason, actor, paused_at FROM pauses WHERE scope = 'queue' AND name = ''
