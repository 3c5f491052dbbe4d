"""Databases of any size, filled in bulk: half of the tasks are history, the others wait for one another."""

from __future__ import annotations

from pathlib import Path

import apsw

from ringmaster.model.ids import ALPHABET
from ringmaster.model.order import PATIENCE_S
from ringmaster.model.project import ProjectConfig
from ringmaster.store.migrate import load_migrations, open_database
from ringmaster.store.queries import find_sql_dir
from ringmaster.store.rows import encode_json

SEATS = 64
AGENT = "scripted"
AT = 1_790_000_000.0

# Ids jump about as random ones do: an odd factor modulo a power of two is a permutation.


def _place(i: str) -> str:
    """SQL for the letters of an id in a long queue, as `make_task_id` gives them: three by group, two at random."""
    lead, rest = f"(({i} >> 6) * 25173)", f"(({i} & 63) * 397 + ({i} >> 6) * 131)"
    letters = (f"{lead} >> 10", f"{lead} >> 5", lead, f"{rest} >> 5", rest)
    return " || ".join(f"substr('{ALPHABET}', (({letter}) & 31) + 1, 1)" for letter in letters)


_PATIENCE = " ".join(f"WHEN {priority} THEN {patience_s}" for priority, patience_s in enumerate(PATIENCE_S))

# Each project has three demands, made before.
_FILL = f"""
CREATE TEMP TABLE numbers AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :tasks)
    SELECT :first + i AS i, 'rm-' || {_place("i")} AS id, p.project_id,
           CASE WHEN (i * 104729) % 1000 < 800 THEN plain WHEN (i * 104729) % 1000 < 900 THEN own ELSE gpu END
               AS demand_id,
           (i * 104729) % 1000 AS dice, i <= :tasks / 2 AS is_history
    FROM n JOIN filled_projects AS p ON p.place = (i * 7919) % :projects;
CREATE UNIQUE INDEX temp.numbers_i ON numbers (i);
-- Of a few tasks that are there already, one in twenty times one has an id of these.
DELETE FROM numbers WHERE id IN (SELECT id FROM tasks);

INSERT INTO tasks (seq, id, project_id, demand_id, title, description, priority, labels, acceptance, capabilities,
                   limits, state, attempt_number, counted_attempts, done_by, landed_commit, created_at, updated_at,
                   rank)
    SELECT i, id, project_id, demand_id,
           'Mend finding ' || i || ' in the parser', hex(zeroblob(100)), dice % 5, '["bug"]', '["the tests pass"]',
           CASE WHEN dice < 900 THEN '[]' ELSE '["gpu"]' END, '{{}}',
           CASE WHEN is_history THEN 'done' ELSE 'open' END, is_history, is_history,
           CASE WHEN is_history THEN 'landed' ELSE '' END, CASE WHEN is_history THEN hex(zeroblob(20)) ELSE '' END,
           {AT} + i, {AT} + i, {int(AT)} + i + CASE dice % 5 {_PATIENCE} END
    FROM numbers ORDER BY i;

INSERT INTO attempts (id, task_id, number, project_id, worker_id, agent, token, state, outcome, branch, base_commit,
                      head_commit, started_at, ended_at)
    SELECT id || '/1', id, 1, project_id, 'w1', 'scripted', printf('%032x', i), 'ended', 'succeeded',
           'ringmaster/' || id || '/1', hex(zeroblob(20)), hex(zeroblob(20)), {AT} + i, {AT} + i
    FROM numbers WHERE is_history ORDER BY id;

-- Of this schema: what older code left is counted anew, row by row, at the start.
INSERT INTO events (at, type, project_id, task_id, attempt_id, worker_id, data, schema)
    SELECT {AT} + i, e.type, project_id, n.id, CASE e.k WHEN 0 THEN '' ELSE n.id || '/1' END, 'w1', '{{"number":1}}', 7
    FROM numbers AS n
    JOIN (SELECT 0 AS k, 'task.created' AS type UNION ALL SELECT 1, 'attempt.started' UNION ALL
          SELECT 2, 'attempt.ended' UNION ALL SELECT 3, 'task.done') AS e ON e.k = 0 OR n.is_history
    ORDER BY n.i, e.k;

-- A third waits for nothing, a third for one earlier task, a third for two; within a few hundred places.
INSERT OR IGNORE INTO dependencies (task_id, blocker_id, kind, is_open, created_at)
    SELECT n.id, b.id, 'blocks', NOT b.is_history, {AT}
    FROM numbers AS n JOIN (SELECT 1 AS k UNION ALL SELECT 2) AS e ON n.i % 3 >= e.k
    JOIN numbers AS b ON b.i = n.i - 1 - (n.i * 7907 * e.k) % 300
    ORDER BY n.id;

UPDATE tasks SET open_blockers = (SELECT count(*) FROM dependencies AS d WHERE d.task_id = id AND d.is_open)
    WHERE state = 'open';
DROP TABLE numbers;
DROP TABLE filled_projects;
"""


def fill_database(path: Path, tasks: int) -> None:
    """Make a database of `tasks` tasks in three projects and nine demands, with 64 idle workers.

    Every other worker offers two capabilities.
    """
    db = open_database(path, load_migrations(find_sql_dir()))
    try:
        config = encode_json(ProjectConfig(max_running=1000))
        names = ["p1", "p2", "p3"]
        for name in names:
            db.execute(
                "INSERT INTO projects (id, path, common_dir, target, config, max_running, created_at)"
                " VALUES (?1, '/' || ?1, '/' || ?1, 'main', ?2, 1000, ?3)",
                (name, config, AT),
            ).fetchall()
        for number in range(1, SEATS + 1):
            db.execute(
                "INSERT INTO workers (id, agent, capabilities, state, created_at) VALUES (?, ?, ?, 'active', ?)",
                (f"w{number}", AGENT, '["gpu","linux"]' if number % 2 else "[]", AT),
            ).fetchall()
        fill_tasks(db, tasks, names)
    finally:
        db.close()


def fill_tasks(db: apsw.Connection, tasks: int, projects: list[str]) -> None:
    """Put `tasks` tasks behind those that are there. The first half is done, each with its attempt and events."""
    # Nothing to lose yet: no log, no fsync, no checks of what is right by construction.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -1000000"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute("BEGIN").fetchall()
    db.execute("CREATE TEMP TABLE filled_projects (place INTEGER PRIMARY KEY, project_id, plain, own, gpu)").fetchall()
    for place, name in enumerate(projects):
        made = [demand(db, name, agent, needs) for agent, needs in (("", "[]"), (AGENT, "[]"), ("", '["gpu"]'))]
        db.execute("INSERT INTO filled_projects VALUES (?, ?, ?, ?, ?)", (place, name, *made)).fetchall()
    last = highest(db, "SELECT max(seq) FROM tasks")
    db.execute(_FILL, {"tasks": tasks, "first": last, "projects": len(projects)}).fetchall()
    db.execute("COMMIT").fetchall()
    db.execute("PRAGMA journal_mode = WAL").fetchall()


def highest(db: apsw.Connection, sql: str, values: tuple[str, ...] = ()) -> int:
    """The one number that a query gives, 0 for none."""
    (found,) = db.execute(sql, values).fetchall()[0]
    return found if isinstance(found, int) else 0


def demand(db: apsw.Connection, project_id: str, agent: str, needs: str) -> int:
    """The id of a demand, which may be there already."""
    key = (project_id, agent, needs)
    db.execute("INSERT OR IGNORE INTO demands (project_id, agent, capabilities) VALUES (?, ?, ?)", key).fetchall()
    return highest(db, "SELECT id FROM demands WHERE project_id = ? AND agent = ? AND capabilities = ?", key)
