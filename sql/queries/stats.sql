-- Figures of a span of time, from the first to before the second. Each is read from an index alone, but for the times
-- that tasks took: those look up each task, so they are asked for the newest alone.

-- name: attempts
SELECT outcome, count(*), sum(cost_usd), sum(tokens_in), sum(tokens_out)
FROM attempts INDEXED BY attempts_ended
WHERE state = 'ended' AND ended_at >= :begin_at AND ended_at < :end_at
  AND (:project_id = '' OR project_id = :project_id)
GROUP BY outcome

-- name: tasks
SELECT type, count(*) FROM events INDEXED BY events_task_ended
WHERE type IN ('task.cancelled', 'task.failed', 'task.landed') AND at >= :begin_at AND at < :end_at
  AND (:project_id = '' OR project_id = :project_id)
GROUP BY type

-- A task that was imported was created before it came to this queue.
-- name: landed_after
SELECT e.at - CASE WHEN t.arrived_at > 0 THEN t.arrived_at ELSE t.created_at END
FROM events AS e INDEXED BY events_task_ended JOIN tasks AS t ON t.id = e.task_id
WHERE e.type IN ('task.cancelled', 'task.failed', 'task.landed') AND e.type = 'task.landed'
  AND e.at >= :begin_at AND e.at < :end_at AND (:project_id = '' OR e.project_id = :project_id)
ORDER BY e.at DESC LIMIT :limit

-- name: gates
SELECT count(*), coalesce(sum(ended_at - started_at), 0) FROM receipts INDEXED BY receipts_ended
WHERE ended_at >= :begin_at AND ended_at < :end_at AND (:project_id = '' OR project_id = :project_id)

-- What metrics are counted from, of one attempt that ended and of one generation that settled.
-- name: ended_attempt
SELECT agent, model, outcome, cost_usd, tokens_in, tokens_out FROM attempts WHERE id = ? AND state = 'ended'

-- name: settled_generation
SELECT created_at, tried_at, settled_at FROM generations WHERE id = ? AND parent > 0

-- Of all time, because an image that failed takes along what it has counted. The first generation was no reload.
-- name: reloads
SELECT type, count(*) FROM events INDEXED BY events_aside
WHERE task_id = '' AND type <> 'worker.freed'
  AND type IN ('generation.good', 'generation.bad', 'generation.restored', 'generation.put_off', 'generation.superseded')
  AND NOT (type = 'generation.good' AND data ->> 'generation' = (SELECT min(id) FROM generations WHERE id > 0))
GROUP BY type

-- name: live
SELECT agent, state, count(*) FROM attempts INDEXED BY attempts_live_project WHERE state <> 'ended'
GROUP BY agent, state

-- Who may be given work: their figures are there before there is any.
-- name: agents
SELECT DISTINCT agent FROM workers ORDER BY agent
