-- What a person changes in a task's row besides its fields. Each names what it expects, and counts the version up.

-- name: version_of
SELECT version FROM tasks WHERE id = ?

-- What it depends on has changed: no column shows it, and a guard on the version must.
-- name: touch
UPDATE tasks SET version = version + 1, updated_at = :now WHERE id = :id

-- name: hold
UPDATE tasks SET held_at = :now, version = version + 1, updated_at = :now
WHERE id = :id AND held_at IS NULL AND state NOT IN ('done', 'cancelled')

-- name: release
UPDATE tasks SET held_at = NULL, version = version + 1, updated_at = :now WHERE id = :id AND held_at IS NOT NULL

-- name: defer
UPDATE tasks SET not_before_at = :until_at, version = version + 1, updated_at = :now
WHERE id = :id AND state IN ('draft', 'open')

-- One that older code left ended has no rank, and would go before all.
-- name: reopen
UPDATE tasks SET state = 'open', done_by = '', landed_commit = '', counted_attempts = 0, streak = 0, failure = '',
       same_failures = 0, not_before_at = NULL,
       rank = CASE WHEN rank > 0 THEN rank ELSE max(1, CAST(:now AS INTEGER)) END, version = version + 1, updated_at = :now
WHERE id = :id AND state IN ('done', 'failed', 'cancelled')

-- Back to what an event says it was: undo.
-- name: restore
UPDATE tasks SET state = :state, done_by = :done_by, landed_commit = :landed_commit,
       counted_attempts = :counted_attempts, streak = :streak, failure = :failure, same_failures = :same_failures,
       not_before_at = :not_before_at,
       rank = CASE WHEN rank > 0 THEN rank ELSE max(1, CAST(:now AS INTEGER)) END, version = version + 1, updated_at = :now
WHERE id = :id AND state = :old AND version = :version

-- name: undone_by
SELECT by_seq FROM undone WHERE seq = ?

-- name: insert_undone
INSERT INTO undone (seq, by_seq) VALUES (?, ?)

-- name: forget_undone
DELETE FROM undone WHERE seq = ?

-- What is to become of who waits for its task, once that is cancelled.
-- name: choose_dependents
UPDATE attempts SET on_cancel = :choice WHERE id = :id

-- name: chosen_dependents
SELECT on_cancel FROM attempts WHERE id = ?

-- name: reopen_decision
UPDATE decisions SET state = 'open', answered_at = NULL WHERE id = :id AND state = 'withdrawn'

-- What a person may have changed or done, the newest first; `after` bounds how far it looks back.
-- name: changes_before
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data FROM events
WHERE seq < :before AND seq > :after AND type IN ('task.edited', 'task.dependencies_changed', 'task.held',
    'task.released', 'task.deferred', 'task.cancelled', 'task.done', 'task.opened', 'task.restored',
    'attempt.cancel_requested', 'decision.answered', 'task.created', 'task.commented', 'queue.paused',
    'queue.resumed', 'project.added', 'project.edited', 'project.paused', 'project.resumed', 'project.removed',
    'budget.changed')
ORDER BY seq DESC LIMIT :limit

-- name: event
SELECT seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data FROM events WHERE seq = ?
