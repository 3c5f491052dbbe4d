-- Answers kept under the caller's key.

-- name: by_key
SELECT method, digest, result FROM idempotency WHERE key = ?

-- name: insert
INSERT INTO idempotency (key, method, digest, result, created_at) VALUES (?, ?, ?, ?, ?)

-- name: forget
DELETE FROM idempotency WHERE created_at < ?
