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

-- The blocker is done: what waits for it waits for one thing less. Both statements run in one transaction.
-- name: free_dependents
UPDATE tasks SET open_blockers = open_blockers - 1
WHERE id IN (SELECT task_id FROM dependencies WHERE blocker_id = ? AND is_open = 1)

-- name: freed_dependents
SELECT t.id FROM dependencies AS d JOIN tasks AS t ON t.id = d.task_id
WHERE d.blocker_id = ? AND d.is_open = 1 AND t.state = 'open' AND t.open_blockers = 0

-- name: close_blocker
UPDATE dependencies SET is_open = 0 WHERE blocker_id = ? AND is_open = 1
