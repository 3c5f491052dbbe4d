-- Accounts. Columns come in the order of ringmaster.model.account.AccountState.

-- name: note
INSERT INTO accounts (id, agent, label, updated_at) VALUES (:id, :agent, :label, :now)
ON CONFLICT (id) DO UPDATE SET agent = :agent, label = :label, updated_at = :now

-- A later end of the pause stays: two attempts that ran into one limit may hear of different ends.
-- name: pause
UPDATE accounts SET paused_until_at = max(coalesce(paused_until_at, 0), :until_at), paused_reason = :reason,
       updated_at = :now
WHERE id = :id

-- name: resume
UPDATE accounts SET paused_until_at = NULL, paused_reason = '', updated_at = :now
WHERE id = :id AND paused_until_at IS NOT NULL

-- name: all
SELECT id, agent, label, paused_until_at, paused_reason, updated_at FROM accounts ORDER BY id

-- name: paused
SELECT id, agent, label, paused_until_at, paused_reason, updated_at FROM accounts WHERE paused_until_at > :now
