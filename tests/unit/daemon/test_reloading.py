"""What a reload of the settings takes over, and how it says so."""

from __future__ import annotations

from ringmaster.daemon.reloading import changed_names, told
from ringmaster.settings import AgentSettings, DaemonSettings, LimitSettings, OwnSettings, Settings, taken_over

BEFORE = Settings(agents={"old": AgentSettings(argv=("a",)), "same": AgentSettings(argv=("s",))})
AFTER = Settings(
    daemon=DaemonSettings(reserve_bytes=1, max_running=2),
    limits=LimitSettings(wall_s=9.0),
    own=OwnSettings(follow="never"),
    agents={"new": AgentSettings(argv=("b",)), "same": AgentSettings(argv=("s",))},
)


def test_every_setting_that_differs_is_named() -> None:
    assert changed_names(BEFORE, AFTER) == (
        "agents.new",
        "agents.old",
        "daemon.max_running",
        "daemon.reserve_bytes",
        "limits.wall_s",
        "self.follow",
    )
    assert changed_names(AFTER, AFTER) == ()


def test_what_takes_a_restart_is_told_apart_and_kept_as_it_is() -> None:
    assert told(("daemon.max_running", "daemon.reserve_bytes", "limits.wall_s")) == (
        "from now on daemon.max_running, limits.wall_s; only after a restart daemon.reserve_bytes"
    )
    assert told(()) == "nothing has changed"
    taken = taken_over(AFTER, BEFORE)
    assert taken.daemon.reserve_bytes == BEFORE.daemon.reserve_bytes
    assert (taken.daemon.max_running, taken.limits.wall_s) == (2, 9.0)
