"""All tasks as the lines of a file that imports to the same."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec

from ringmaster.model.beads_export import to_record
from ringmaster.model.exporting_lines import to_line
from ringmaster.model.importing import ImportedDependency
from ringmaster.model.importing_lines import WAS
from ringmaster.store import comments, dependencies, imported, tasks
from ringmaster.store.connection import Connection

_encode = msgspec.json.Encoder().encode
NOT_READ = "its row cannot be read"


class Exported(msgspec.Struct, frozen=True):
    """One task: its line, or why it has none."""

    id: str
    line: bytes
    problem: str = ""


def iter_exported(conn: Connection, kind: str, project_id: str, *, max_attempts: int) -> Iterator[Exported]:
    """The tasks in the order of their ids. kind: `beads` or `jsonl`. project_id: of one project, '' for all.

    max_attempts: the setting.
    """
    is_known = functools.cache(lambda id: tasks.is_known(conn, id))
    last = ""
    while ids := imported.ids_after(conn, last):
        last = ids[-1]
        for id in ids:
            row = tasks.row_by_id(conn, id)
            if project_id and row.task.project_id != project_id:
                continue
            if row.unread:
                yield Exported(id, b"", NOT_READ)
                continue
            record = imported.record_of(conn, id)
            fields = imported.decode_fields(record.fields) if record else {}
            depends = [ImportedDependency(one.id, one.kind, one.mode) for one in dependencies.blockers_of(conn, id)]
            said = comments.comments_of(conn, id)
            if kind == "jsonl":
                found = _encode(to_line(row.task, record.source if record else "", fields, depends, said))
            else:
                related = fields.pop(imported.RELATED, ())
                fields.pop(WAS, None)
                found = _encode(
                    to_record(
                        row.task,
                        fields,
                        depends,
                        said,
                        related=[(other, how) for other, how in related],
                        is_known=is_known,
                        max_attempts=max_attempts,
                        now=conn.now,
                    )
                )
            yield Exported(id, found)
