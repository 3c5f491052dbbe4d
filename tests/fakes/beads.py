"""Records as beads repositories have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

DEPENDENCY_TYPES = (
    *("blocks", "parent-child", "conditional-blocks", "waits-for", "related", "discovered-from", "replies-to"),
    *("relates-to", "duplicates", "supersedes", "authored-by", "assigned-to", "approved-by", "attests", "tracks"),
    *("until", "caused-by", "validates", "delegated-from"),
)


def make_bead(id: str, *depends: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """A record. depends: pairs (other, type)."""
    record: dict[str, Any] = {
        "_type": "issue",
        "id": id,
        "title": f"Title of {id}",
        "status": "open",
        "priority": 2,
        "issue_type": "task",
        "created_at": "2025-12-13T08:44:50.145364+11:00",
        "updated_at": "2025-12-13T10:13:32.610253+11:00",
        **fields,
    }
    if record["status"] == "closed":
        record.setdefault("closed_at", "2025-12-13T10:13:32.610253+11:00")
    if depends:
        record["dependencies"] = [make_dependency(id, other, type) for other, type in depends]
    return record


def make_dependency(id: str, other: str, type: str, metadata: str = "{}") -> dict[str, Any]:
    """One entry of a record's dependencies."""
    return {
        "issue_id": id,
        "depends_on_id": other,
        "type": type,
        "created_at": "2025-12-13T08:44:50.145775+11:00",
        "created_by": "daemon",
        "metadata": metadata,
    }


def as_lines(*records: dict[str, Any]) -> bytes:
    """The text of a file."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def make_beads(path: Path, *records: dict[str, Any]) -> Path:
    """A file of such records."""
    path.write_bytes(as_lines(*records))
    return path
