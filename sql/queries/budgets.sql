-- Budgets of a day, by project; project_id '' is all of them together.

-- name: all
SELECT project_id, max_attempts, max_usd FROM budgets ORDER BY project_id

-- name: set
INSERT INTO budgets (project_id, max_attempts, max_usd) VALUES (:project_id, :max_attempts, :max_usd)
ON CONFLICT (project_id) DO UPDATE SET max_attempts = excluded.max_attempts, max_usd = excluded.max_usd

-- name: delete
DELETE FROM budgets WHERE project_id = ?

-- What a claim must look at besides rows of tasks, nearly always none of it: one statement for each claim.
-- name: gate
SELECT EXISTS (SELECT 1 FROM budgets), EXISTS (SELECT 1 FROM limited_labels), EXISTS (SELECT 1 FROM spreading),
       EXISTS (SELECT 1 FROM pauses WHERE scope = 'agent' AND name = ?), (SELECT max(day) FROM spending WHERE day <= ?),
       (SELECT min(not_before_at) FROM tasks WHERE not_before_at IS NOT NULL)
