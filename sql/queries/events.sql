-- Events: every state change in one dense order.

-- name: after
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data
FROM events WHERE seq > ? ORDER BY seq LIMIT ?

-- name: before
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data
FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?

-- name: before_of_task
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data
FROM events WHERE task_id = :task_id AND task_id <> '' AND seq < :before ORDER BY seq DESC LIMIT :limit

-- name: after_of_task
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data
FROM events WHERE task_id = :task_id AND task_id <> '' AND seq > :after ORDER BY seq LIMIT :limit

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM events

-- name: first_seq
SELECT coalesce(min(seq), 1) FROM events

-- What was said about the jobs of an attempt: without a limit, because what is left out of it is output
-- that nobody is told of. Of a task's events few are others'.
-- name: jobs_of_attempt
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data
FROM events WHERE task_id = :task_id AND task_id <> '' AND attempt_id = :attempt_id
AND type IN ('attempt.job_started', 'attempt.job_ended', 'attempt.ended') ORDER BY seq

-- The questions asked after a place, by their own index: there can be very many events between two of them.
-- name: asked_after
SELECT seq, decision_id FROM events WHERE type = 'decision.opened' AND seq > ? ORDER BY seq LIMIT ?

-- The newest of a type that are about no task.
-- name: aside
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data
FROM events WHERE task_id = '' AND type <> 'worker.freed' AND type = ? ORDER BY seq DESC LIMIT ?
