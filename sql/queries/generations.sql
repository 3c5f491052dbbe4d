-- Generations. Columns come in the order of ringmaster.model.generation.Generation.

-- name: insert
INSERT INTO generations (id, release, digest, python, parent, source, project_id, "commit", tree, state, created_at)
VALUES (:id, :release, :digest, :python, :parent, :source, :project_id, :commit, :tree, 'candidate', :now)
RETURNING id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at

-- name: by_id
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations WHERE id = ?

-- name: newest
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations ORDER BY id DESC LIMIT ?

-- The newest that was tried or refused: what a person means by the last reload. The first one was none.
-- name: last_reload
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations WHERE (tried_at IS NOT NULL OR state = 'bad') AND parent > 0
ORDER BY id DESC LIMIT 1

-- name: unsettled
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations WHERE state IN ('candidate', 'trial') ORDER BY id

-- name: of_release
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations WHERE release = ? ORDER BY id DESC

-- The good one with the highest number below: where `undo` goes that names none.
-- name: good_before
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations WHERE id < ? AND state = 'good' ORDER BY id DESC LIMIT 1

-- name: bad_of_target
SELECT id, release, digest, python, parent, source, project_id, "commit", tree, state, reason, receipts, measures,
       created_at, tried_at, settled_at
FROM generations WHERE project_id = ? AND source = 'target' AND state = 'bad' ORDER BY id DESC LIMIT 1

-- name: move
UPDATE generations SET state = :state, reason = :reason,
       tried_at = CASE WHEN :state = 'trial' THEN :now ELSE tried_at END,
       settled_at = CASE WHEN :state IN ('good', 'bad', 'superseded') THEN :now END
WHERE id = :id AND state = :was

-- name: put_off
UPDATE generations SET reason = :reason WHERE id = :id AND state = 'candidate'

-- name: set_source
UPDATE generations SET project_id = :project_id, "commit" = :commit, tree = :tree WHERE id = :id AND tree = ''

-- name: set_receipts
UPDATE generations SET receipts = :receipts WHERE id = :id

-- name: set_measures
UPDATE generations SET measures = :measures WHERE id = :id

-- One that runs on, over a restart, goes on with its run.
-- name: begin_run
INSERT INTO generation_runs (generation, began_at)
SELECT :id, :now WHERE :id IS NOT (
    SELECT generation FROM generation_runs WHERE id = (SELECT max(id) FROM generation_runs))

-- name: newest_run
SELECT generation FROM generation_runs WHERE id = (SELECT max(id) FROM generation_runs)

-- name: runs
SELECT r.began_at, n.began_at AS ended_at
FROM generation_runs AS r LEFT JOIN generation_runs AS n ON n.id = r.id + 1
WHERE r.generation = ? ORDER BY r.id

-- name: attempts_between
SELECT count(*), coalesce(sum(outcome = 'succeeded'), 0), coalesce(sum(cost_usd), 0.0),
       coalesce(sum(max(ended_at - started_at, 0.0)), 0.0)
FROM attempts INDEXED BY attempts_ended WHERE state = 'ended' AND ended_at >= :since_at AND ended_at < :until_at
