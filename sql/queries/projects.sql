-- Projects. Columns come in the order of ringmaster.model.project.Project.

-- name: insert
INSERT INTO projects (id, path, common_dir, target, config, max_running, created_at)
VALUES (:id, :path, :common_dir, :target, :config, :max_running, :now)

-- name: by_id
SELECT id, path, common_dir, target, state, paused_reason, parked_commit, config, version, created_at
FROM projects WHERE id = ?

-- name: all
SELECT id, path, common_dir, target, state, paused_reason, parked_commit, config, version, created_at
FROM projects ORDER BY id

-- name: update
UPDATE projects SET target = :target, config = :config, max_running = :max_running, version = version + 1
WHERE id = :id

-- name: set_state
UPDATE projects SET state = :state, paused_reason = :reason, version = version + 1 WHERE id = :id AND state <> :state

-- name: set_parked
UPDATE projects SET parked_commit = :commit WHERE id = :id AND parked_commit <> :commit

-- name: delete
DELETE FROM projects WHERE id = ?
