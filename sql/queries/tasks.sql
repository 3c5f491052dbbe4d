-- Tasks: facts, counters and the claim. Columns come in the order of ringmaster.model.task.Task.

-- The demand is looked up on the way: nothing is stored while it is not there, or when the id is taken.
-- name: insert
INSERT INTO tasks (id, project_id, demand_id, title, description, priority, labels, acceptance, capabilities,
                   agent, model, limits, max_attempts, is_diff_needed, state, open_blockers, not_before_at,
                   created_at, updated_at, type, rank, deadline_at, held_at, arrived_at)
SELECT :id, d.project_id, d.id, :title, :description, :priority, :labels, :acceptance, :capabilities,
       :agent, :model, :limits, :max_attempts, :is_diff_needed, :state, :open_blockers, :not_before_at,
       :created_at, :now, :type, :rank, :deadline_at, :held_at, :now
FROM demands AS d WHERE d.project_id = :project_id AND d.agent = :agent AND d.capabilities = :demand
ON CONFLICT (id) DO NOTHING

-- name: demand_id
SELECT id FROM demands WHERE project_id = ? AND agent = ? AND capabilities = ?

-- name: insert_demand
INSERT INTO demands (project_id, agent, capabilities) VALUES (?, ?, ?) RETURNING id

-- name: by_id
SELECT id, project_id, title, description, priority, labels, acceptance, capabilities, agent, model, limits,
       max_attempts, is_diff_needed, state, open_blockers, not_before_at, attempt_number, counted_attempts, streak,
       done_by, landed_commit, version, created_at, updated_at, type, rank, deadline_at, held_at, last_child,
       children, open_children, done_children, failure, same_failures
FROM tasks WHERE id = ?

-- Ids are compared as text, so a prefix is a range of the unique index.
-- name: ids_by_prefix
SELECT id FROM tasks WHERE id >= :prefix AND id < :upper ORDER BY id LIMIT 6

-- Fields a person may change; the guard is the state.
-- name: update_fields
UPDATE tasks SET demand_id = :demand_id, title = :title, description = :description, priority = :priority,
       labels = :labels, acceptance = :acceptance, capabilities = :capabilities, agent = :agent, model = :model,
       limits = :limits, max_attempts = :max_attempts, is_diff_needed = :is_diff_needed, state = :state,
       type = :type, rank = :rank, deadline_at = :deadline_at, version = version + 1, updated_at = :now
WHERE id = :id AND state IN ('draft', 'open', 'failed')

-- Every move of a task's state goes through here: the old state is the guard.
-- name: move
UPDATE tasks SET state = :new, version = version + 1, updated_at = :now WHERE id = :id AND state = :old

-- name: settle
UPDATE tasks SET state = :new, counted_attempts = :counted_attempts, streak = :streak, failure = :failure,
       same_failures = :same_failures, not_before_at = :not_before_at, version = version + 1, updated_at = :now
WHERE id = :id AND state IN ('running', 'validating', 'landing')

-- name: finish
UPDATE tasks SET state = 'done', done_by = :done_by, landed_commit = :landed_commit, not_before_at = NULL,
       counted_attempts = counted_attempts + (:done_by = 'landed'), streak = 0, failure = '', same_failures = 0,
       version = version + 1, updated_at = :now
WHERE id = :id AND state = :old

-- One that older code left failed has no rank, and would go before all.
-- name: requeue
UPDATE tasks SET state = 'open', counted_attempts = 0, streak = 0, failure = '', same_failures = 0,
       not_before_at = NULL,
       rank = CASE WHEN rank > 0 THEN rank ELSE max(1, CAST(:now AS INTEGER)) END, version = version + 1, updated_at = :now
WHERE id = :id AND state IN ('open', 'failed', 'cancelled')

-- A person's word may change how it goes on.
-- name: forget_failure
UPDATE tasks SET failure = '', same_failures = 0 WHERE id = ? AND same_failures > 0

-- name: shift_blockers
UPDATE tasks SET open_blockers = open_blockers + :by, updated_at = :now WHERE id = :id

-- name: has_children
SELECT 1 FROM tasks WHERE id = ? AND children > 0

-- What hangs on a move of the task, nearly always nothing: one statement for each that ends.
-- name: ties
SELECT (SELECT d.blocker_id FROM dependencies AS d WHERE d.task_id = t.id AND d.kind = 'parent-child'),
       t.children > 0 OR EXISTS (
            SELECT 1 FROM dependencies AS d
            WHERE d.blocker_id = t.id AND d.kind IN ('blocks', 'conditional-blocks', 'waits-for')),
       t.open_blockers > 0
FROM tasks AS t WHERE t.id = ?

-- name: count_children
UPDATE tasks SET children = children + :children, open_children = open_children + :open_children,
       done_children = done_children + :done_children
WHERE id = :id

-- name: take_child_number
UPDATE tasks SET last_child = last_child + 1 WHERE id = ?

-- name: last_child
SELECT last_child FROM tasks WHERE id = ?

-- name: standing
SELECT id, project_id, state, type, open_blockers, children, open_children, done_children, held_at
FROM tasks WHERE id = ?

-- What is due becomes claimable: the claim's index leaves out what still waits.
-- name: release_due
UPDATE tasks SET not_before_at = NULL WHERE not_before_at IS NOT NULL AND not_before_at <= :now

-- name: next_due_at
SELECT min(not_before_at) FROM tasks WHERE not_before_at IS NOT NULL

-- What a seat takes next: in each project that is active and has room, for each demand that the seat can meet, the
-- first task in the order of work (one look-up in tasks_claim); of those the first, as one number: rank above,
-- place below, of which there are 31 bits. Projects come first, so that each is counted once. `met` holds the
-- capability lists that the seat meets, a line each, and `shut` the projects whose budget is used up: to compare them
-- here with json_each took longer than all the rest. The `+` keeps SQLite from building a table of the two agents on
-- each call, which took five times as long as all the rest.
-- name: next_place
SELECT min((SELECT n.rank << 31 | n.seq FROM tasks AS n
            WHERE n.demand_id = d.id AND n.state = 'open' AND n.open_blockers = 0 AND n.not_before_at IS NULL
            ORDER BY n.rank, n.seq LIMIT 1)) & 0x7fffffff
FROM projects AS p CROSS JOIN demands AS d ON d.project_id = p.id
WHERE p.state = 'active' AND (:project_id = '' OR p.id = :project_id)
  AND (:shut = '' OR instr(:shut, char(10) || p.id || char(10)) = 0)
  AND (SELECT count(*) FROM attempts AS a WHERE a.project_id = p.id AND a.state <> 'ended' AND a.state = 'running')
      < p.max_running
  AND (+d.agent = '' OR +d.agent = :agent)
  AND (d.capabilities = '[]' OR instr(:met, char(10) || d.capabilities || char(10)) > 0)

-- name: capability_lists
SELECT capabilities FROM demands WHERE capabilities <> '[]'

-- The claim. The guard repeats what the place was chosen for, so two claims can never both win. As one statement with
-- the choice in its WHERE, or with RETURNING, it costs twice as much: SQLite then copies every page it changes first,
-- to be able to undo it half-way.
-- name: claim
UPDATE tasks SET state = 'running', attempt_number = attempt_number + 1, version = version + 1, updated_at = :now
WHERE seq = :seq AND state = 'open' AND open_blockers = 0 AND not_before_at IS NULL

-- name: by_seq
SELECT id, project_id, title, description, priority, labels, acceptance, capabilities, agent, model, limits,
       max_attempts, is_diff_needed, state, open_blockers, not_before_at, attempt_number, counted_attempts, streak,
       done_by, landed_commit, version, created_at, updated_at, type, rank, deadline_at, held_at, last_child,
       children, open_children, done_children, failure, same_failures
FROM tasks WHERE seq = ?

-- The views are the columns of Task, then the place in order of arrival, then whether a person is asked.
-- name: view_by_seq
SELECT t.id, t.project_id, t.title, t.description, t.priority, t.labels, t.acceptance, t.capabilities, t.agent,
       t.model, t.limits, t.max_attempts, t.is_diff_needed, t.state, t.open_blockers, t.not_before_at,
       t.attempt_number, t.counted_attempts, t.streak, t.done_by, t.landed_commit, t.version, t.created_at,
       t.updated_at, t.type, t.rank, t.deadline_at, t.held_at, t.last_child, t.children, t.open_children,
       t.done_children, t.failure, t.same_failures, t.seq,
       t.open_blockers > 0 AND EXISTS (
            SELECT 1 FROM decisions AS q WHERE q.task_id = t.id AND q.task_id <> '' AND q.state = 'open')
FROM tasks AS t WHERE t.seq = ?

-- name: view_by_id
SELECT t.id, t.project_id, t.title, t.description, t.priority, t.labels, t.acceptance, t.capabilities, t.agent,
       t.model, t.limits, t.max_attempts, t.is_diff_needed, t.state, t.open_blockers, t.not_before_at,
       t.attempt_number, t.counted_attempts, t.streak, t.done_by, t.landed_commit, t.version, t.created_at,
       t.updated_at, t.type, t.rank, t.deadline_at, t.held_at, t.last_child, t.children, t.open_children,
       t.done_children, t.failure, t.same_failures, t.seq,
       t.open_blockers > 0 AND EXISTS (
            SELECT 1 FROM decisions AS q WHERE q.task_id = t.id AND q.task_id <> '' AND q.state = 'open')
FROM tasks AS t WHERE t.id = ?

-- A page of what has not ended, in the order of work, after a place in it.
-- name: open_after
SELECT t.id, t.project_id, t.title, t.description, t.priority, t.labels, t.acceptance, t.capabilities, t.agent,
       t.model, t.limits, t.max_attempts, t.is_diff_needed, t.state, t.open_blockers, t.not_before_at,
       t.attempt_number, t.counted_attempts, t.streak, t.done_by, t.landed_commit, t.version, t.created_at,
       t.updated_at, t.type, t.rank, t.deadline_at, t.held_at, t.last_child, t.children, t.open_children,
       t.done_children, t.failure, t.same_failures, t.seq,
       t.open_blockers > 0 AND EXISTS (
            SELECT 1 FROM decisions AS q WHERE q.task_id = t.id AND q.task_id <> '' AND q.state = 'open')
FROM tasks AS t INDEXED BY tasks_open
WHERE t.state IN ('draft', 'open', 'running', 'validating', 'landing') AND (t.rank, t.seq) > (:rank, :seq)
ORDER BY t.rank, t.seq LIMIT :limit

-- A page of one state of one project in order of arrival.
-- name: of_state_after
SELECT t.id, t.project_id, t.title, t.description, t.priority, t.labels, t.acceptance, t.capabilities, t.agent,
       t.model, t.limits, t.max_attempts, t.is_diff_needed, t.state, t.open_blockers, t.not_before_at,
       t.attempt_number, t.counted_attempts, t.streak, t.done_by, t.landed_commit, t.version, t.created_at,
       t.updated_at, t.type, t.rank, t.deadline_at, t.held_at, t.last_child, t.children, t.open_children,
       t.done_children, t.failure, t.same_failures, t.seq,
       t.open_blockers > 0 AND EXISTS (
            SELECT 1 FROM decisions AS q WHERE q.task_id = t.id AND q.task_id <> '' AND q.state = 'open')
FROM tasks AS t INDEXED BY tasks_by_state
WHERE t.state = :state AND t.project_id = :project_id AND t.seq > :seq ORDER BY t.seq LIMIT :limit

-- A page of everything in order of arrival.
-- name: all_after
SELECT t.id, t.project_id, t.title, t.description, t.priority, t.labels, t.acceptance, t.capabilities, t.agent,
       t.model, t.limits, t.max_attempts, t.is_diff_needed, t.state, t.open_blockers, t.not_before_at,
       t.attempt_number, t.counted_attempts, t.streak, t.done_by, t.landed_commit, t.version, t.created_at,
       t.updated_at, t.type, t.rank, t.deadline_at, t.held_at, t.last_child, t.children, t.open_children,
       t.done_children, t.failure, t.same_failures, t.seq,
       t.open_blockers > 0 AND EXISTS (
            SELECT 1 FROM decisions AS q WHERE q.task_id = t.id AND q.task_id <> '' AND q.state = 'open')
FROM tasks AS t WHERE t.seq > :seq ORDER BY t.seq LIMIT :limit

-- name: seq_of
SELECT seq FROM tasks WHERE id = ?

-- name: title_of
SELECT title FROM tasks WHERE id = ?

-- Counts the entries of an index that covers it: some 30 ms at a million tasks, for `status` alone.
-- name: count_by_state
SELECT state, count(*) FROM tasks INDEXED BY tasks_by_state GROUP BY state

-- name: count_ready
SELECT count(*) FROM tasks INDEXED BY tasks_claim
WHERE state = 'open' AND open_blockers = 0 AND not_before_at IS NULL

-- name: count_scheduled
SELECT count(*) FILTER (WHERE not_before_at > :now), count(*) FILTER (WHERE not_before_at <= :now)
FROM tasks INDEXED BY tasks_due WHERE not_before_at IS NOT NULL AND state = 'open' AND open_blockers = 0

-- From the questions, of which there are few: left to itself SQLite begins with every task that is open.
-- name: count_waiting
SELECT count(DISTINCT q.task_id) FROM decisions AS q INDEXED BY decisions_open CROSS JOIN tasks AS t ON t.id = q.task_id
WHERE q.state = 'open' AND q.task_id <> '' AND t.state = 'open' AND t.open_blockers > 0

-- What keeps a project from being removed: state by state, each one look-up.
-- name: unended_of_project
SELECT state, count(*) FROM tasks INDEXED BY tasks_by_state
WHERE state IN ('draft', 'open', 'running', 'validating', 'landing') AND project_id = ? GROUP BY state

-- name: ended_of_project
SELECT count(*) FROM tasks INDEXED BY tasks_by_state
WHERE state IN ('done', 'failed', 'cancelled') AND project_id = ?

-- Out of the queue, whatever else its row holds: a row that cannot be read must not come up again.
-- name: quarantine
UPDATE tasks SET state = 'failed', not_before_at = NULL, version = version + 1, updated_at = :now
WHERE id = :id AND state NOT IN ('done', 'failed', 'cancelled')
