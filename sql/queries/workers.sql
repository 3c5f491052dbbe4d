-- Workers. Columns come in the order of ringmaster.model.worker.Worker.

-- name: insert
INSERT INTO workers (id, agent, command, project_id, capabilities, state, created_at, is_pulled)
VALUES (:id, :agent, :command, :project_id, :capabilities, 'active', :now, :is_pulled)

-- name: by_id
SELECT id, agent, command, project_id, capabilities, state, attempt_id, created_at, is_pulled FROM workers WHERE id = ?

-- name: all
SELECT id, agent, command, project_id, capabilities, state, attempt_id, created_at, is_pulled FROM workers ORDER BY id

-- name: ids_by_prefix
SELECT id FROM workers WHERE id >= :prefix AND id < :upper ORDER BY id LIMIT 6

-- name: set_state
UPDATE workers SET state = :state WHERE id = :id AND state <> :state

-- A seat takes one attempt: the guard is that it is empty.
-- name: take_seat
UPDATE workers SET attempt_id = :attempt_id WHERE id = :id AND attempt_id = '' AND state = 'active'

-- name: free_seat
UPDATE workers SET attempt_id = '' WHERE id = :id AND attempt_id = :attempt_id

-- name: delete
DELETE FROM workers WHERE id = ? AND attempt_id = '' AND state = 'stopped'
