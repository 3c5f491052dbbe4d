-- Projects. Columns come in the order of ringmaster.model.project.Project. A removed one is history.

-- A name that was removed comes back with its history.
-- name: insert
INSERT INTO projects (id, path, common_dir, target, config, max_running, created_at)
VALUES (:id, :path, :common_dir, :target, :config, :max_running, :now)
ON CONFLICT (id) DO UPDATE SET path = excluded.path, common_dir = excluded.common_dir, target = excluded.target,
       state = 'active', paused_reason = '', parked_commit = '', config = excluded.config,
       max_running = excluded.max_running, version = version + 1, created_at = excluded.created_at, removed_at = NULL
WHERE removed_at IS NOT NULL

-- name: by_id
SELECT id, path, common_dir, target, state, paused_reason, parked_commit, parked_at, config, version, created_at
FROM projects WHERE id = ? AND removed_at IS NULL

-- What a new task needs to know, in one statement: each costs a hand-over of the interpreter.
-- name: intake
SELECT config, (SELECT coalesce(max(t.seq), 0) FROM tasks AS t) FROM projects WHERE id = ? AND removed_at IS NULL

-- name: by_common_dir
SELECT id, path, common_dir, target, state, paused_reason, parked_commit, parked_at, config, version, created_at
FROM projects WHERE common_dir = ? AND removed_at IS NULL

-- name: all
SELECT id, path, common_dir, target, state, paused_reason, parked_commit, parked_at, config, version, created_at
FROM projects WHERE removed_at IS NULL ORDER BY id

-- name: all_ids
SELECT id FROM projects ORDER BY id

-- name: removed
SELECT id, removed_at, config FROM projects WHERE removed_at IS NOT NULL ORDER BY id

-- name: ids_by_prefix
SELECT id FROM projects WHERE id >= :prefix AND id < :upper AND removed_at IS NULL ORDER BY id LIMIT 6

-- name: update
UPDATE projects SET target = :target, config = :config, max_running = :max_running, version = version + 1
WHERE id = :id

-- name: set_state
UPDATE projects SET state = :state, paused_reason = :reason, version = version + 1 WHERE id = :id AND state <> :state

-- name: set_paused_reason
UPDATE projects SET paused_reason = :reason, version = version + 1
WHERE id = :id AND state = 'paused' AND paused_reason <> :reason

-- name: set_parked
UPDATE projects SET parked_commit = :commit,
       parked_at = CASE WHEN :commit = '' THEN NULL ELSE coalesce(parked_at, :now) END
WHERE id = :id AND parked_commit <> :commit

-- Paused as well, so that no claim finds it.
-- name: remove
UPDATE projects SET removed_at = :now, state = 'paused', paused_reason = 'removed', parked_commit = '',
       common_dir = 'removed:' || id, version = version + 1
WHERE id = :id AND removed_at IS NULL
