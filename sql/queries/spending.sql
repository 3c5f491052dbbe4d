-- What was spent on each day of UTC, by project. A day once begun is not left for an earlier one: the clock may go back.
-- A day that is further ahead than tomorrow was begun by a clock that was wrong.

-- name: count_attempt
UPDATE spending SET attempts = attempts + 1 WHERE project_id = ? AND day = ?

-- name: first_attempt
INSERT INTO spending (project_id, day, attempts) VALUES (?, ?, 1)

-- name: add
INSERT INTO spending (project_id, day, usd, has_unknown)
VALUES (:project_id, :day, :usd, :has_unknown)
ON CONFLICT (project_id, day) DO UPDATE SET usd = usd + excluded.usd, has_unknown = max(has_unknown, excluded.has_unknown)

-- What is found in the rows of attempts replaces what was counted where it is more.
-- name: recount
INSERT INTO spending (project_id, day, attempts, usd, has_unknown)
VALUES (:project_id, :day, :attempts, :usd, :has_unknown)
ON CONFLICT (project_id, day) DO UPDATE SET attempts = max(attempts, excluded.attempts), usd = max(usd, excluded.usd),
       has_unknown = max(has_unknown, excluded.has_unknown)

-- name: last_day
SELECT max(day) FROM spending WHERE day <= ?

-- name: of_day
SELECT project_id, attempts, usd, has_unknown FROM spending WHERE day = ?

-- name: reserve
INSERT INTO reserved (attempt_id, project_id, limit_usd) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: reserved
SELECT attempt_id, project_id, limit_usd, told_usd, is_begun FROM reserved

-- name: begin
UPDATE reserved SET is_begun = 1 WHERE attempt_id = ?

-- name: limit_of
SELECT limit_usd FROM reserved WHERE attempt_id = ?

-- name: tell
UPDATE reserved SET told_usd = ? WHERE attempt_id = ?

-- What there is to do when an attempt leaves its seat, nearly always nothing.
-- name: leaving
SELECT EXISTS (SELECT 1 FROM reserved WHERE attempt_id = ?), EXISTS (SELECT 1 FROM spawn_failures WHERE agent = ?)

-- name: release
DELETE FROM reserved WHERE attempt_id = ? RETURNING attempt_id, project_id, limit_usd, told_usd, is_begun

-- Of attempts that began on a day; the index is that of their start.
-- name: attempts_since
SELECT project_id, count(*) FROM attempts INDEXED BY attempts_started WHERE started_at >= ? GROUP BY project_id

-- name: ended_since
SELECT id, project_id, agent, cost_usd, tokens_in + tokens_out, session_id, outcome
FROM attempts INDEXED BY attempts_ended WHERE state = 'ended' AND ended_at >= ?

-- name: running
SELECT id, project_id, agent, session_id FROM attempts INDEXED BY attempts_live_project
WHERE state <> 'ended' AND state = 'running'

-- name: spent_on_task
SELECT coalesce(sum(cost_usd), 0) FROM attempts WHERE task_id = ?
