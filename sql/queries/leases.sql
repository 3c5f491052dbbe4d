-- Leases of pulled attempts. Every write names the token and what it must find: the first of two that race wins.

-- name: make_pulled
UPDATE attempts SET lease_s = :lease_s WHERE id = :id AND token = :token AND state = 'running' AND lease_left_s IS NULL

-- name: begin
UPDATE attempts SET lease_left_s = lease_s
WHERE id = :id AND token = :token AND state = 'running' AND lease_s > 0 AND lease_left_s IS NULL

-- name: renew
UPDATE attempts SET lease_left_s = lease_s
WHERE id = :id AND token = :token AND state = 'running' AND lease_left_s > 0

-- name: note_left
UPDATE attempts SET lease_left_s = :left_s
WHERE id = :id AND token = :token AND state = 'running' AND lease_left_s > 0

-- name: expire
UPDATE attempts SET lease_left_s = 0
WHERE id = :id AND token = :token AND state = 'running' AND lease_left_s > 0

-- name: hand_in
UPDATE attempts SET report = :report, lease_left_s = NULL
WHERE id = :id AND token = :token AND state = 'running' AND lease_left_s > 0

-- A seat for somebody who names none.
-- name: free_hand_seat
SELECT id FROM workers
WHERE is_pulled = 1 AND agent = :agent AND attempt_id = '' AND state = 'active' AND project_id = '' AND capabilities = '[]'
ORDER BY id LIMIT 1
