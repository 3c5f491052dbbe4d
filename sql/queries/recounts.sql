-- Counting anew what code before migration 7 left: it keeps no counts of children and knows one kind of dependency.

-- name: recounted
SELECT seq FROM recounted WHERE id = 1

-- name: advance
UPDATE recounted SET seq = ? WHERE id = 1

-- name: left
SELECT seq, type, task_id FROM events INDEXED BY events_old WHERE schema = 0 AND seq > ? ORDER BY seq LIMIT ?

-- name: children
SELECT count(*), coalesce(sum(c.state NOT IN ('done', 'cancelled')), 0), coalesce(sum(c.state = 'done'), 0)
FROM dependencies AS d JOIN tasks AS c ON c.id = d.task_id WHERE d.blocker_id = ? AND d.kind = 'parent-child'

-- name: set_children
UPDATE tasks SET children = :children, open_children = :open_children, done_children = :done_children WHERE id = :id

-- name: blockers
SELECT (SELECT count(*) FROM dependencies AS d WHERE d.task_id = t.id AND d.is_open = 1)
     + (SELECT count(*) FROM decisions AS q WHERE q.task_id = t.id AND q.task_id <> '' AND q.state = 'open')
     + (t.held_at IS NOT NULL) + (t.type = 'epic')
FROM tasks AS t WHERE t.id = ?

-- name: set_blockers
UPDATE tasks SET open_blockers = :open_blockers WHERE id = :id AND open_blockers <> :open_blockers

-- name: ranked_by
SELECT rank, priority, CASE WHEN arrived_at > 0 THEN arrived_at ELSE created_at END, deadline_at FROM tasks WHERE id = ?

-- name: set_rank
UPDATE tasks SET rank = :rank WHERE id = :id
