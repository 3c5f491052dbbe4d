"""A database as the original Ringmaster leaves it: the tables and columns that it has, filled by the test."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

# fmt: off
TASKS = (
    "id", "project_id", "parent_id", "type", "title", "description", "priority", "status", "worker_id", "attempts",
    "max_attempts", "pagerank_score", "betweenness_score", "on_critical_path", "combined_priority", "created_at",
    "updated_at", "started_at", "completed_at", "prompt_path", "output_path", "context_hash",
    "acceptance_criteria", "context", "blocks_id", "question", "options", "recommendation", "resolution",
    "resolved_at", "related_id", "urgency", "default_answer", "answer", "answered_at", "required_capabilities",
    "blocked_reason", "retry_after", "last_failure_reason", "iteration", "max_iterations",
)
# fmt: on
PROJECTS = ("id", "name", "description", "tech_stack", "repo_url", "settings", "created_at", "updated_at")
SHOP = "c892ec79-0000-4000-8000-000000000001"


def make_row(id: str, **fields: Any) -> dict[str, Any]:
    """A row of its tasks as it is made there: every column, the ones that nobody set with their defaults."""
    known = {
        "id": id,
        "project_id": SHOP,
        "type": "task",
        "title": f"Title of {id}",
        "priority": "P2",
        "status": "ready",
        "attempts": 0,
        "max_attempts": 5,
        "pagerank_score": 0.25,
        "combined_priority": 0.5,
        "created_at": "2026-01-03T10:00:00+00:00",
        "updated_at": "2026-01-04T10:00:00+00:00",
        "acceptance_criteria": "[]",
        "required_capabilities": "[]",
        "urgency": "medium",
        "iteration": 0,
        "max_iterations": 10,
    }
    row = dict.fromkeys(TASKS) | known | fields
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}


def make_original(
    path: Path,
    *rows: dict[str, Any],
    after: tuple[tuple[str, str], ...] = (),
    projects: tuple[tuple[str, str, str], ...] = ((SHOP, "Shop", ""),),
    is_logged: bool = False,
) -> Path:
    """The file. after: pairs (who waits, for whom). projects: id, name, repository.

    is_logged: with a log beside it, as a program that was killed leaves it.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row)) or TASKS
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"CREATE TABLE projects ({', '.join(PROJECTS)})")
        db.execute(f"CREATE TABLE tasks ({', '.join(columns)})")
        db.execute("CREATE TABLE dependencies (child_id, parent_id, created_at)")
        db.execute("CREATE TABLE workers (id, name)")
        for id, name, place in projects:
            db.execute("INSERT INTO projects (id, name, repo_url) VALUES (?, ?, ?)", (id, name, place))
        for row in rows:
            marks = ", ".join("?" * len(columns))
            db.execute(f"INSERT INTO tasks VALUES ({marks})", [row.get(name) for name in columns])
        for child, parent in after:
            db.execute("INSERT INTO dependencies VALUES (?, ?, '2026-01-03T10:00:00')", (child, parent))
        if is_logged:
            # Its two files as they are before anybody closes it: what is new is in the log alone.
            log = path.with_name(f"{path.name}-wal").read_bytes()
            whole = path.read_bytes()
    if is_logged:
        path.write_bytes(whole)
        path.with_name(f"{path.name}-wal").write_bytes(log)
    return path
