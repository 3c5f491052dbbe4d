-- Attempts. Columns come in the order of ringmaster.model.attempt.Attempt. Every write names the token.

-- name: insert
INSERT INTO attempts (id, task_id, number, project_id, worker_id, agent, token, state, started_at)
VALUES (:id, :task_id, :number, :project_id, :worker_id, :agent, :token, 'running', :now)

-- name: by_id
SELECT id, task_id, number, project_id, worker_id, agent, token, state, outcome, reason, branch, base_commit,
       head_commit, is_accepted, is_cancel_requested, landing, lane_at, report, started_at, ended_at,
       session_id, account, cost_usd, tokens_in, tokens_out, model, lease_s, lease_left_s
FROM attempts WHERE id = ?

-- name: live
SELECT id, task_id, number, project_id, worker_id, agent, token, state, outcome, reason, branch, base_commit,
       head_commit, is_accepted, is_cancel_requested, landing, lane_at, report, started_at, ended_at,
       session_id, account, cost_usd, tokens_in, tokens_out, model, lease_s, lease_left_s
FROM attempts INDEXED BY attempts_live_project WHERE state <> 'ended' ORDER BY started_at

-- name: count_running
SELECT count(*) FROM attempts INDEXED BY attempts_live_project WHERE state <> 'ended' AND state = 'running'

-- A row that cannot be read is ended by its id alone, and what broke it is emptied.
-- name: end_poisoned
UPDATE attempts SET state = 'ended', outcome = 'interrupted', reason = :reason, ended_at = :now, landing = NULL,
       report = '{}'
WHERE id = :id AND state <> 'ended'

-- name: of_task
SELECT id, task_id, number, project_id, worker_id, agent, token, state, outcome, reason, branch, base_commit,
       head_commit, is_accepted, is_cancel_requested, landing, lane_at, report, started_at, ended_at,
       session_id, account, cost_usd, tokens_in, tokens_out, model, lease_s, lease_left_s
FROM attempts WHERE task_id = ? ORDER BY number

-- name: newest
SELECT id, task_id, number, project_id, worker_id, agent, token, state, outcome, reason, branch, base_commit,
       head_commit, is_accepted, is_cancel_requested, landing, lane_at, report, started_at, ended_at,
       session_id, account, cost_usd, tokens_in, tokens_out, model, lease_s, lease_left_s
FROM attempts ORDER BY started_at DESC LIMIT ?

-- The lane: what waits in `validating` with no decision open about it, in order of priority and arrival.
-- Nothing is put on a target that is known to make a bad release; what is being landed is landed.
-- name: lane
SELECT a.id FROM attempts AS a JOIN tasks AS t ON t.id = a.task_id
WHERE a.project_id = ? AND a.state <> 'ended' AND a.state IN ('validating', 'landing')
  AND (a.state = 'landing' OR NOT EXISTS (
      SELECT 1 FROM projects AS p WHERE p.id = a.project_id AND p.state = 'paused'
      AND p.paused_reason LIKE 'bad release: %'))
  AND (a.state = 'landing' OR NOT EXISTS (
      SELECT 1 FROM decisions AS q WHERE q.task_id = a.task_id AND q.task_id <> '' AND q.attempt_id = a.id
      AND q.state = 'open'))
ORDER BY a.state = 'validating', t.priority, a.lane_at LIMIT ?

-- name: begin_work
UPDATE attempts SET branch = :branch, base_commit = :base_commit
WHERE id = :id AND token = :token AND state = 'running'

-- name: to_validating
UPDATE attempts SET state = 'validating', head_commit = :head_commit, lane_at = :now, report = :report
WHERE id = :id AND token = :token AND state = 'running'

-- name: request_cancel
UPDATE attempts SET is_cancel_requested = 1 WHERE id = :id AND state IN ('running', 'validating')

-- name: accept
UPDATE attempts SET is_accepted = 1 WHERE id = :id AND state = 'validating'

-- name: to_landing
UPDATE attempts SET state = 'landing', landing = :landing
WHERE id = :id AND token = :token AND state = 'validating'

-- name: set_landing
UPDATE attempts SET landing = :landing WHERE id = :id AND token = :token AND state = 'landing'

-- name: back_to_validating
UPDATE attempts SET state = 'validating', landing = NULL
WHERE id = :id AND token = :token AND state = 'landing'

-- name: set_head
UPDATE attempts SET head_commit = :head_commit WHERE id = :id AND token = :token AND state <> 'ended'

-- name: set_report
UPDATE attempts SET report = :report WHERE id = :id AND token = :token AND state <> 'ended'

-- name: end
UPDATE attempts SET state = 'ended', outcome = :outcome, reason = :reason, report = coalesce(:report, report),
       ended_at = :now
WHERE id = :id AND token = :token AND state <> 'ended'

-- name: newest_of_task
SELECT id FROM attempts WHERE task_id = ? ORDER BY number DESC LIMIT 1

-- name: is_known
SELECT 1 FROM attempts WHERE id = ?

-- name: state_of
SELECT state FROM attempts WHERE id = ?

-- name: running_of_project
SELECT count(*) FROM attempts WHERE project_id = ? AND state <> 'ended' AND state = 'running'

-- name: last_ended
SELECT id FROM attempts INDEXED BY attempts_ended WHERE state = 'ended' ORDER BY ended_at DESC LIMIT 1

-- name: ended_at
SELECT ended_at FROM attempts WHERE id = ?

-- name: begin_agent
UPDATE attempts SET session_id = :session_id, account = :account, model = :model
WHERE id = :id AND token = :token AND state = 'running'

-- name: set_spent
UPDATE attempts SET session_id = :session_id, cost_usd = :cost_usd, tokens_in = :tokens_in, tokens_out = :tokens_out,
       model = :model
WHERE id = :id AND token = :token AND state <> 'ended'

-- name: cost_by_model
SELECT agent, account, model, count(*) AS attempts, sum(cost_usd) AS cost_usd, sum(tokens_in) AS tokens_in,
       sum(tokens_out) AS tokens_out
FROM attempts INDEXED BY attempts_started WHERE started_at >= :since_at AND (:project_id = '' OR project_id = :project_id)
GROUP BY agent, account, model ORDER BY 5 DESC, 6 DESC

-- name: cost_by_task
SELECT task_id, project_id, count(*) AS attempts, sum(cost_usd) AS cost_usd, sum(tokens_in) AS tokens_in,
       sum(tokens_out) AS tokens_out
FROM attempts INDEXED BY attempts_started WHERE started_at >= :since_at AND (:project_id = '' OR project_id = :project_id)
GROUP BY task_id, project_id ORDER BY 4 DESC, 5 DESC LIMIT :limit

-- name: cost_by_quarter
-- By quarters of an hour, of which the days of every time zone are made: SQL knows no zone.
SELECT CAST(started_at / 900 AS INTEGER) AS quarter, count(*) AS attempts, sum(cost_usd) AS cost_usd,
       sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out
FROM attempts INDEXED BY attempts_started WHERE started_at >= :since_at AND (:project_id = '' OR project_id = :project_id)
GROUP BY quarter ORDER BY quarter DESC
