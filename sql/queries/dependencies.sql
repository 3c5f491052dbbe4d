-- Dependencies between tasks. `is_open` is 1 while the row is counted in its task's open_blockers.

-- name: insert
INSERT INTO dependencies (task_id, blocker_id, kind, mode, is_open, created_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING

-- name: delete
DELETE FROM dependencies WHERE task_id = ? AND blocker_id = ? AND kind = ? RETURNING is_open

-- name: kinds_between
SELECT kind, mode FROM dependencies WHERE task_id = ? AND blocker_id = ? ORDER BY kind

-- name: blockers_of
SELECT d.blocker_id, t.state, t.title, d.is_open, d.kind, d.mode, d.created_at
FROM dependencies AS d JOIN tasks AS t ON t.id = d.blocker_id
WHERE d.task_id = ? ORDER BY d.created_at, d.blocker_id

-- What a task waits for first.
-- name: first_open
SELECT d.blocker_id, t.state, t.title, d.is_open, d.kind, d.mode, d.created_at
FROM dependencies AS d JOIN tasks AS t ON t.id = d.blocker_id
WHERE d.task_id = ? AND d.is_open = 1 ORDER BY d.created_at, d.blocker_id LIMIT 1

-- Who waits for a task itself, its children aside: few rows for nearly every task.
-- name: gated_by
SELECT task_id, kind, mode, is_open FROM dependencies
WHERE blocker_id = ? AND kind IN ('blocks', 'conditional-blocks', 'waits-for') LIMIT ?

-- name: has_open
SELECT 1 FROM dependencies WHERE task_id = ? AND is_open = 1 LIMIT 1

-- name: are_children_held
SELECT is_open FROM dependencies WHERE blocker_id = ? AND kind = 'parent-child' LIMIT 1

-- name: gates_of
SELECT blocker_id, kind, mode FROM dependencies
WHERE task_id = ? AND kind IN ('blocks', 'parent-child', 'conditional-blocks', 'waits-for') ORDER BY blocker_id

-- name: waiting_for
SELECT task_id FROM dependencies WHERE blocker_id = ? AND is_open = 1 ORDER BY task_id

-- name: waiting_on
SELECT task_id, kind, mode FROM dependencies WHERE blocker_id = ? AND is_open = 1 ORDER BY task_id, kind

-- name: dependents_of
SELECT DISTINCT task_id FROM dependencies
WHERE blocker_id = ? AND kind IN ('blocks', 'conditional-blocks', 'waits-for') ORDER BY task_id

-- name: children_of
SELECT task_id FROM dependencies WHERE blocker_id = ? AND kind = 'parent-child' ORDER BY task_id

-- name: parent_of
SELECT blocker_id FROM dependencies WHERE task_id = ? AND kind = 'parent-child'

-- name: set_open
UPDATE dependencies SET is_open = :is_open
WHERE task_id = :task_id AND blocker_id = :blocker_id AND kind = :kind AND is_open <> :is_open
