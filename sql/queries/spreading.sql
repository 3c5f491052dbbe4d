-- Tasks whose many dependents are asked anew in pieces, and how far that came.

-- From its beginning, also where it was under way: what it was told before may be otherwise now.
-- name: begin
INSERT INTO spreading (blocker_id, kind, task_id) VALUES (?, '', '')
ON CONFLICT (blocker_id) DO UPDATE SET kind = '', task_id = ''

-- An epic that may end once all have been told: '~' comes after every kind.
-- name: look_last
INSERT INTO spreading (blocker_id, kind, task_id) VALUES (?, '~', '') ON CONFLICT DO NOTHING

-- name: first
SELECT blocker_id, kind, task_id FROM spreading ORDER BY kind = '~' LIMIT 1

-- name: advance
UPDATE spreading SET kind = :kind, task_id = :task_id WHERE blocker_id = :blocker_id

-- name: end
DELETE FROM spreading WHERE blocker_id = ?

-- name: is_under_way
SELECT 1 FROM spreading WHERE blocker_id = ? AND kind <> '~'

-- name: page
SELECT task_id, kind, mode, is_open FROM dependencies
WHERE blocker_id = :blocker_id AND kind = :kind AND task_id > :after ORDER BY task_id LIMIT :limit

-- Whether anything would change by telling them; what was told before a change that is under way counts too.
-- name: is_any_to_tell
SELECT 1 FROM dependencies AS d
WHERE d.blocker_id = :id AND d.kind IN ('blocks', 'conditional-blocks', 'waits-for') AND (
    d.is_open <> CASE d.kind WHEN 'blocks' THEN :blocks WHEN 'conditional-blocks' THEN :conditional
                 ELSE CASE d.mode WHEN 'any' THEN :any ELSE :all END END
    OR (:is_unneeded AND d.kind = 'conditional-blocks'
        AND (SELECT t.state FROM tasks AS t WHERE t.id = d.task_id) IN ('draft', 'open', 'failed')))
LIMIT 1
