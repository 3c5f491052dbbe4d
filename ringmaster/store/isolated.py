"""Making a copy of the database harmless: nothing in it is the work of the instance it was copied from any more."""

from __future__ import annotations

from pathlib import Path

from ringmaster.store.connection import connect_writer, run_script

# Ended by the next state of `interrupted`: the task is open again. Its project is paused, so nothing takes it.
# The paths lead nowhere: neither a landing nor a look at what is parked can reach a person's repository.
_SCRIPT = """
BEGIN IMMEDIATE;
UPDATE meta SET value = '{instance_id}' WHERE key = 'instance_id';
INSERT INTO meta (key, value) VALUES ('instance_id', '{instance_id}') ON CONFLICT DO NOTHING;
UPDATE attempts SET state = 'ended', outcome = 'interrupted', reason = 'a copy', landing = NULL, lane_at = NULL,
    lease_s = 0, lease_left_s = NULL, ended_at = started_at WHERE state <> 'ended';
UPDATE tasks SET state = 'open' WHERE state IN ('running', 'validating', 'landing');
UPDATE workers SET attempt_id = '', state = CASE WHEN agent = 'scripted' THEN state ELSE 'stopped' END;
UPDATE projects SET state = 'paused', paused_reason = 'a copy', parked_commit = '', parked_at = NULL,
    path = '/nonexistent/' || id, common_dir = '/nonexistent/' || id || '/.git';
DELETE FROM cursors;
COMMIT;
"""


def isolate_copy(path: Path, instance_id: str) -> None:
    """Give the copy at `path` a new instance id, end its attempts, pause its projects, stop its workers. Blocking.

    instance_id: hexadecimal. The copy is of this release's schema. Raises apsw.Error; the copy is of no use then.
    """
    assert instance_id.isalnum(), "it stands in the statement itself"
    db = connect_writer(path)
    try:
        run_script(db, _SCRIPT.format(instance_id=instance_id))
    finally:
        db.close()
