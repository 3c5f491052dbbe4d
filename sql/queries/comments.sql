-- What was said about tasks.

-- name: insert
INSERT INTO comments (task_id, author, text, at) VALUES (?, ?, ?, ?)

-- name: of_task
SELECT author, text, at FROM comments WHERE task_id = ? ORDER BY id
