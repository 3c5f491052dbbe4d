-- Cursors: how far a part of the daemon that follows the events has come.

-- name: read
SELECT seq FROM cursors WHERE name = ?

-- name: write
INSERT INTO cursors (name, seq) VALUES (:name, :seq) ON CONFLICT (name) DO UPDATE SET seq = :seq

-- name: drop
DELETE FROM cursors WHERE name = ?
