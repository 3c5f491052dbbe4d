-- Dependencies between tasks. `is_open` is 1 while the row is counted in its task's open_blockers.

-- name: insert
INSERT INTO dependencies (task_id, blocker_id, kind, is_open, created_at) VALUES (?, ?, 'blocks', ?, ?)
ON CONFLICT DO NOTHING

-- name: delete
DELETE FROM dependencies WHERE task_id = ? AND blocker_id = ? AND kind = 'blocks' RETURNING is_open

-- name: blockers_of
SELECT d.blocker_id, t.state, t.title, d.is_open FROM dependencies AS d JOIN tasks AS t ON t.id = d.blocker_id
WHERE d.task_id = ? ORDER BY d.created_at, d.blocker_id

-- name: dependents_of
SELECT task_id FROM dependencies WHERE blocker_id = ? ORDER BY task_id

-- name: blocker_ids_of
SELECT blocker_id FROM dependencies WHERE task_id = ?

-- The blocker is done: who waits for it waits for one thing less. Row by row: an UPDATE of a set copies every page
-- it changes first, to be able to undo it half-way, and there are mostly one or two. Both run in one transaction.
-- name: close_dependency
UPDATE dependencies SET is_open = 0 WHERE task_id = ? AND blocker_id = ? AND kind = 'blocks' AND is_open = 1

-- name: free_dependent
UPDATE tasks SET open_blockers = open_blockers - 1 WHERE id = ?

-- name: freed_project
SELECT project_id FROM tasks WHERE id = ? AND state = 'open' AND open_blockers = 0
