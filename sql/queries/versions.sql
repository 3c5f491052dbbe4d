-- What the database says of itself.

-- name: schema
SELECT value FROM meta WHERE key = 'schema'

-- name: sqlite
SELECT sqlite_version()
