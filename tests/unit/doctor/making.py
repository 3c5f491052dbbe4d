"""Facts of a machine, a daemon and an instance that are well; a test says what is not."""

from __future__ import annotations

from typing import Any

from ringmaster.doctor.facts import (
    AgentFacts,
    ClockFacts,
    DiskFacts,
    FileFacts,
    Holder,
    InotifyFacts,
    LimitFacts,
    ReachFacts,
    UnitFacts,
)

GIB = 1024**3
NOW = 1_800_000_000.0


def make_limits(**changes: Any) -> LimitFacts:
    well = {
        "files": 4096,
        "processes": None,
        "processes_now": 200,
        "tasks_max": None,
        "tasks_now": 0,
        "seats": 4,
    }
    return LimitFacts(**(well | changes))


def make_disk(**changes: Any) -> DiskFacts:
    well: dict[str, Any] = {
        "what": "state",
        "path": "/s",
        "free_bytes": 50 * GIB,
        "free_inodes": 10**6,
        "reserve_bytes": 8 * 1024**2,
        "kind": "ext4",
    }
    return DiskFacts(**(well | changes))


def make_inotify(**changes: Any) -> InotifyFacts:
    well = {"max_instances": 128, "used_instances": 10, "max_watches": 65536, "used_watches": 100}
    return InotifyFacts(**(well | changes))


def make_file(**changes: Any) -> FileFacts:
    well: dict[str, Any] = {"what": "socket", "path": "/s/a b.sock", "mode": 0o600, "is_own": True, "wanted": 0o600}
    return FileFacts(**(well | changes))


def make_clock(**changes: Any) -> ClockFacts:
    well: dict[str, Any] = {
        "now": NOW,
        "file_at": NOW,
        "newest_event_at": NOW - 5,
        "ran_s": 100.0,
        "ran_by_clock_s": 99.0,
    }
    return ClockFacts(**(well | changes))


def make_agent(**changes: Any) -> AgentFacts:
    well: dict[str, Any] = {
        "name": "claude",
        "kind": "claude",
        "wanted": "claude",
        "program": "/bin/claude",
        "version": "2.1",
        "account": "me@example.invalid",
        "needs_login": True,
        "seats": 2,
        "is_named": False,
    }
    return AgentFacts(**(well | changes))


def make_reach(**changes: Any) -> ReachFacts:
    well: dict[str, Any] = {
        "socket": "/s.sock",
        "answer": "answers",
        "holders": (Holder(role="keeper", pid=1), Holder(role="daemon", pid=2)),
        "named_pid": 2,
        "is_named_gone": False,
        "log": "/s/daemon.log",
        "own_version": "1",
        "version": "1",
        "own_protocol": 1,
        "protocol": 1,
    }
    return ReachFacts(**(well | changes))


def make_unit(**changes: Any) -> UnitFacts:
    well: dict[str, Any] = {
        "has_manager": True,
        "name": "ringmaster.service",
        "is_installed": True,
        "is_other": False,
        "enabled": "enabled",
        "linger": "yes",
        "environment_mode": 0o600,
    }
    return UnitFacts(**(well | changes))
