-- Figures over time are read from indexes that hold all they need: rows are long, and a month of them may be many.

-- The same name and condition, so that older code still finds it.
DROP INDEX attempts_ended;
CREATE INDEX attempts_ended ON attempts (ended_at, project_id, outcome, cost_usd, tokens_in, tokens_out)
    WHERE state = 'ended';
-- A task's row does not say when it ended; one entry for each end, and none for all the other events.
CREATE INDEX events_task_ended ON events (at, project_id, type, task_id)
    WHERE type IN ('task.cancelled', 'task.failed', 'task.landed');
CREATE INDEX receipts_ended ON receipts (ended_at, project_id, started_at);
