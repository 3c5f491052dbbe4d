-- The graph from which the order of work is computed, what it did to each rank, and ranks that are none.

-- What is waited for now, in pages. Both ends by their place.
-- name: waits_after
SELECT d.task_id, d.blocker_id, d.kind, d.mode, t.seq, b.seq
FROM dependencies AS d INDEXED BY dependencies_open
CROSS JOIN tasks AS t ON t.id = d.task_id CROSS JOIN tasks AS b ON b.id = d.blocker_id
WHERE d.is_open = 1 AND d.kind IN ('blocks', 'waits-for')
  AND (d.task_id, d.blocker_id, d.kind) > (:task_id, :blocker_id, :kind)
ORDER BY d.task_id, d.blocker_id, d.kind LIMIT :limit

-- The children of who has some that are not gone, in pages.
-- name: children_after
SELECT p.seq, d.task_id, c.seq, d.is_open
FROM tasks AS p INDEXED BY tasks_parents
CROSS JOIN dependencies AS d ON d.blocker_id = p.id AND d.kind = 'parent-child'
CROSS JOIN tasks AS c ON c.id = d.task_id
WHERE p.open_children > 0 AND p.seq >= :seq AND (p.seq > :seq OR d.task_id > :task_id)
ORDER BY p.seq, d.task_id LIMIT :limit

-- The same for who looks at all of it at once: of tasks that have not ended, those that wait for a failure among them.
-- For these there is no index, which every write would pay for: all dependencies are looked through.
-- name: unended_waits
SELECT t.seq, b.seq
FROM dependencies AS d CROSS JOIN tasks AS t ON t.id = d.task_id CROSS JOIN tasks AS b ON b.id = d.blocker_id
WHERE d.task_id >= '' AND d.is_open = 1 AND d.kind IN ('blocks', 'waits-for', 'conditional-blocks')
  AND t.state IN ('draft', 'open', 'running', 'validating', 'landing')
LIMIT ?

-- name: kin_left
SELECT p.seq, c.seq
FROM tasks AS p INDEXED BY tasks_parents
CROSS JOIN dependencies AS d ON d.blocker_id = p.id AND d.kind = 'parent-child'
CROSS JOIN tasks AS c ON c.id = d.task_id
WHERE p.open_children > 0 AND p.seq >= 0 AND c.state NOT IN ('done', 'cancelled')
LIMIT ?

-- Whose rank the graph has changed, in pages: also of tasks that are out of it by now.
-- name: termed_after
SELECT seq FROM order_terms WHERE seq > ? ORDER BY seq LIMIT ?

-- name: has_graph
SELECT EXISTS (SELECT 1 FROM dependencies INDEXED BY dependencies_open
               WHERE is_open = 1 AND kind IN ('blocks', 'waits-for') AND task_id >= '')
    OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_parents WHERE open_children > 0 AND seq >= 0)
    OR EXISTS (SELECT 1 FROM order_terms WHERE seq >= 0)

-- name: nodes
SELECT t.seq, t.priority, CASE WHEN t.arrived_at > 0 THEN t.arrived_at ELSE t.created_at END, t.deadline_at,
       t.type = 'epic', t.rank, t.state IN ('draft', 'open', 'running', 'validating', 'landing'),
       o.rank, o.base, o.critical_path_s, o.unblocks_s, o.pagerank_s, o.betweenness_s, o.capped_s, o.deadline_s,
       o.inherited_s, o.floor_s, o.chain, o.unblocks, o.inherited_from
FROM json_each(:seqs) AS j CROSS JOIN tasks AS t ON t.seq = j.value LEFT JOIN order_terms AS o ON o.seq = t.seq

-- Whether it has ever had to do with another in a way that decides when it starts, or the graph has ranked it.
-- name: is_in_graph
SELECT 1 FROM tasks AS t WHERE t.id = :id AND (
    EXISTS (SELECT 1 FROM dependencies AS d WHERE d.task_id = t.id
            AND d.kind IN ('blocks', 'waits-for', 'conditional-blocks', 'parent-child'))
    OR EXISTS (SELECT 1 FROM dependencies AS d WHERE d.blocker_id = t.id
               AND d.kind IN ('blocks', 'waits-for', 'conditional-blocks', 'parent-child'))
    OR EXISTS (SELECT 1 FROM order_terms AS o WHERE o.seq = t.seq))

-- What a person has edited since it was read stands, and so does what has ended, or is open again.
-- name: set_rank
UPDATE tasks SET rank = :rank
WHERE seq = :seq AND rank = :old_rank AND priority = :priority AND deadline_at IS :deadline_at
  AND (state IN ('draft', 'open', 'running', 'validating', 'landing')) = :is_open

-- name: put_terms
INSERT OR REPLACE INTO order_terms (seq, rank, base, critical_path_s, unblocks_s, pagerank_s, betweenness_s, capped_s,
    deadline_s, inherited_s, floor_s, chain, unblocks, inherited_from)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_terms
DELETE FROM order_terms WHERE seq = ?

-- name: terms
SELECT rank, base, critical_path_s, unblocks_s, pagerank_s, betweenness_s, capped_s, deadline_s, inherited_s, floor_s,
       chain, unblocks, inherited_from
FROM order_terms WHERE seq = ?

-- name: arrival
SELECT CASE WHEN arrived_at > 0 THEN arrived_at ELSE created_at END FROM tasks WHERE id = ?

-- What a task has to do with others in a way that decides when it starts.
-- name: gates
SELECT d.blocker_id, d.kind, d.mode, d.is_open, b.seq, b.state
FROM dependencies AS d JOIN tasks AS b ON b.id = d.blocker_id
WHERE d.task_id = ? AND d.kind IN ('blocks', 'parent-child', 'conditional-blocks', 'waits-for')
ORDER BY d.blocker_id, d.kind

-- Who waits for a task now.
-- name: waiters
SELECT t.seq FROM dependencies AS d INDEXED BY dependencies_on JOIN tasks AS t ON t.id = d.task_id
WHERE d.blocker_id = ? AND d.kind IN ('blocks', 'parent-child', 'conditional-blocks', 'waits-for') AND d.is_open = 1
  AND t.state IN ('draft', 'open', 'running', 'validating', 'landing')
ORDER BY t.seq LIMIT ?

-- name: unended_children
SELECT t.seq FROM dependencies AS d INDEXED BY dependencies_on JOIN tasks AS t ON t.id = d.task_id
WHERE d.blocker_id = ? AND d.kind = 'parent-child'
  AND t.state IN ('draft', 'open', 'running', 'validating', 'landing')
ORDER BY t.seq LIMIT ?

-- The question of the claim without its effect: what free seats would get of one demand, in order, in pages.
-- name: ready_after
SELECT t.rank, t.seq FROM tasks AS t
WHERE t.demand_id = :demand_id AND t.state = 'open' AND t.open_blockers = 0 AND t.not_before_at IS NULL
  AND (t.rank, t.seq) > (:rank, :seq)
ORDER BY t.rank, t.seq LIMIT :limit

-- The first of each demand, as the claim looks for it: rank above, place below. None where nothing is ready.
-- name: ready_heads
SELECT d.id, (SELECT n.rank << 31 | n.seq FROM tasks AS n
              WHERE n.demand_id = d.id AND n.state = 'open' AND n.open_blockers = 0 AND n.not_before_at IS NULL
              ORDER BY n.rank, n.seq LIMIT 1)
FROM projects AS p CROSS JOIN demands AS d ON d.project_id = p.id
WHERE p.state = 'active' AND (:project_id = '' OR p.id = :project_id)

-- Rows that older code left.
-- name: unranked
SELECT seq, priority, CASE WHEN arrived_at > 0 THEN arrived_at ELSE created_at END, deadline_at
FROM tasks INDEXED BY tasks_open
WHERE state IN ('draft', 'open', 'running', 'validating', 'landing') AND rank < 1 ORDER BY rank LIMIT :limit

-- Rows of a time when the clock was ahead.
-- name: ranked_after
SELECT seq, priority, CASE WHEN arrived_at > 0 THEN arrived_at ELSE created_at END, deadline_at
FROM tasks INDEXED BY tasks_open
WHERE state IN ('draft', 'open', 'running', 'validating', 'landing') AND rank > :rank ORDER BY rank LIMIT :limit

-- What has not ended, in pages of the order of work, and whether the graph has ranked it.
-- name: ranked_from
SELECT t.seq, t.priority, CASE WHEN t.arrived_at > 0 THEN t.arrived_at ELSE t.created_at END, t.deadline_at, t.rank,
       EXISTS (SELECT 1 FROM order_terms AS o WHERE o.seq = t.seq)
FROM tasks AS t INDEXED BY tasks_open
WHERE t.state IN ('draft', 'open', 'running', 'validating', 'landing') AND (t.rank, t.seq) > (:rank, :seq)
ORDER BY t.rank, t.seq LIMIT :limit

-- The rules by which what the graph says nothing about was ranked.
-- name: ranked_by
SELECT value FROM meta WHERE key = 'ranked_by'

-- name: put_ranked_by
INSERT INTO meta (key, value) VALUES ('ranked_by', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: rank_anew
UPDATE tasks SET rank = :rank, arrived_at = :arrived_at WHERE seq = :seq
