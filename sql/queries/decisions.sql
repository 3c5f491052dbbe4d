-- Decisions. Columns come in the order of ringmaster.model.decision.Decision.

-- name: insert
INSERT INTO decisions (id, kind, project_id, task_id, attempt_id, question, detail, options, state, created_at,
                       recommendation, urgency, default_answer, default_at)
VALUES (:id, :kind, :project_id, :task_id, :attempt_id, :question, :detail, :options, 'open', :now,
        :recommendation, :urgency, :default_answer, :default_at)

-- name: by_id
SELECT id, kind, project_id, task_id, attempt_id, question, detail, options, state, answer, message, answered_by,
       created_at, answered_at, recommendation, urgency, default_answer, default_at
FROM decisions WHERE id = ?

-- name: open
SELECT id, kind, project_id, task_id, attempt_id, question, detail, options, state, answer, message, answered_by,
       created_at, answered_at, recommendation, urgency, default_answer, default_at
FROM decisions WHERE state = 'open'
ORDER BY CASE urgency WHEN 'high' THEN 0 WHEN 'low' THEN 2 ELSE 1 END, created_at LIMIT ?

-- name: all
SELECT id, kind, project_id, task_id, attempt_id, question, detail, options, state, answer, message, answered_by,
       created_at, answered_at, recommendation, urgency, default_answer, default_at
FROM decisions ORDER BY created_at DESC LIMIT ?

-- name: of_task
SELECT id, kind, project_id, task_id, attempt_id, question, detail, options, state, answer, message, answered_by,
       created_at, answered_at, recommendation, urgency, default_answer, default_at
FROM decisions WHERE task_id = ? AND task_id <> '' ORDER BY created_at

-- Unordered: whoever ends an attempt asks this, and nearly always there is none.
-- name: open_of_task
SELECT id, kind, project_id, task_id, attempt_id, question, detail, options, state, answer, message, answered_by,
       created_at, answered_at, recommendation, urgency, default_answer, default_at
FROM decisions WHERE task_id = ? AND task_id <> '' AND state = 'open'

-- name: ids_by_prefix
SELECT id FROM decisions WHERE id >= :prefix AND id < :upper ORDER BY id LIMIT 6

-- name: answer
UPDATE decisions SET state = 'answered', answer = :answer, message = :message, answered_by = :answered_by,
       answered_at = :now
WHERE id = :id AND state = 'open'

-- name: withdraw
UPDATE decisions SET state = 'withdrawn', answered_at = :now WHERE id = :id AND state = 'open'

-- name: holding_project
SELECT q.id FROM decisions AS q JOIN projects AS p ON p.id = q.project_id
WHERE p.id = ? AND p.state = 'paused' AND q.task_id = '' AND q.state = 'open' ORDER BY q.created_at LIMIT 1

-- Of those asked in the same moment the open one is the newest: another is asked only once the one before is over.
-- name: newest_bad_release
SELECT id, kind, project_id, task_id, attempt_id, question, detail, options, state, answer, message, answered_by,
       created_at, answered_at, recommendation, urgency, default_answer, default_at
FROM decisions WHERE project_id = ? AND kind = 'bad_release' ORDER BY created_at DESC, state = 'open' DESC LIMIT 1

-- name: open_of_project
SELECT id FROM decisions WHERE project_id = ? AND task_id = '' AND kind = ? AND state = 'open' LIMIT 1

-- name: open_of_kind
SELECT id, attempt_id FROM decisions WHERE state = 'open' AND project_id = '' AND kind = ?

-- What answers itself in time: the open questions with a default, the first to be given first.
-- name: with_default
SELECT id, default_at FROM decisions WHERE state = 'open' AND default_at IS NOT NULL ORDER BY default_at LIMIT ?

-- name: count_open
SELECT count(*) FROM decisions WHERE state = 'open'
