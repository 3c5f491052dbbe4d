-- What an import brings: whole rows, whose counts were made beforehand, and what of a record there is no column for.

-- name: insert_task
INSERT INTO tasks (id, project_id, demand_id, title, description, priority, labels, acceptance, capabilities,
                   agent, model, limits, max_attempts, is_diff_needed, state, open_blockers, not_before_at,
                   done_by, created_at, updated_at, type, rank, deadline_at, held_at, last_child, children,
                   open_children, done_children, arrived_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_dependency
INSERT INTO dependencies (task_id, blocker_id, kind, mode, is_open, created_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: insert_record
INSERT INTO imported (task_id, source, fields, digest) VALUES (?, ?, ?, ?)

-- name: record_of
SELECT source, fields, digest FROM imported WHERE task_id = ?

-- name: digest_of
SELECT digest FROM imported WHERE task_id = ?

-- name: known_ids
SELECT t.id FROM json_each(?) AS j CROSS JOIN tasks AS t ON t.id = j.value

-- The ids in their order, a page after a place in it: an export is the same text whatever came first.
-- name: ids_after
SELECT id FROM tasks WHERE id > ? ORDER BY id LIMIT ?
