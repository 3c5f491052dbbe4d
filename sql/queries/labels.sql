-- Limited labels, and the counts of what runs that limits look at.

-- name: limited
SELECT label, seq, is_limited FROM limited_labels

-- name: note
INSERT INTO limited_labels (label, seq, is_limited) VALUES (?, ?, ?)
ON CONFLICT (label) DO UPDATE SET seq = excluded.seq, is_limited = excluded.is_limited

-- name: forget
DELETE FROM limited_labels WHERE label = ?

-- Some tens of attempts run; a row whose labels cannot be read has none.
-- name: running_by_label
SELECT l.value, count(*)
FROM attempts AS a INDEXED BY attempts_live_project JOIN tasks AS t ON t.id = a.task_id
JOIN json_each(CASE WHEN json_valid(t.labels) THEN t.labels ELSE '[]' END) AS l
WHERE a.state <> 'ended' AND a.state = 'running' GROUP BY l.value

-- name: running_by_agent
SELECT agent, count(*) FROM attempts INDEXED BY attempts_live_project
WHERE state <> 'ended' AND state = 'running' GROUP BY agent

-- By place, in ranges, so that a piece is bounded whatever it finds. Ended ones too: any of them may be opened again.
-- name: carriers
SELECT id, project_id, agent, capabilities, labels FROM tasks
WHERE seq > ? AND seq <= ? AND labels <> '[]'

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM tasks

-- name: set_demand
UPDATE tasks SET demand_id = ? WHERE id = ? AND demand_id <> ?

-- name: demand_of_seq
SELECT d.capabilities FROM tasks AS t JOIN demands AS d ON d.id = t.demand_id WHERE t.seq = ?
