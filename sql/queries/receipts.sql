-- Receipts: one row per gate run. Columns come in the order of ringmaster.model.receipt.Receipt.

-- name: insert
INSERT INTO receipts (project_id, attempt_id, gate, "commit", tree, result, tests_total, tests_failed, is_flaky, job,
                      started_at, ended_at)
VALUES (:project_id, :attempt_id, :gate, :commit, :tree, :result, :tests_total, :tests_failed, :is_flaky, :job,
        :started_at, :ended_at)
RETURNING id

-- name: of_commit
SELECT id, project_id, attempt_id, gate, "commit", tree, result, tests_total, tests_failed, is_flaky, job,
       started_at, ended_at
FROM receipts WHERE project_id = ? AND "commit" = ? AND gate = ? ORDER BY id DESC LIMIT 1

-- Only green ones are ever looked for by tree.
-- name: green_of_tree
SELECT id, project_id, attempt_id, gate, "commit", tree, result, tests_total, tests_failed, is_flaky, job,
       started_at, ended_at
FROM receipts WHERE project_id = ? AND tree = ? AND result = 'green' AND gate = ? ORDER BY id DESC LIMIT 1

-- name: of_attempt
SELECT id, project_id, attempt_id, gate, "commit", tree, result, tests_total, tests_failed, is_flaky, job,
       started_at, ended_at
FROM receipts WHERE attempt_id = ? AND attempt_id <> '' ORDER BY id
