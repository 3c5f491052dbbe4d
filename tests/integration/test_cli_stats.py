"""`rmctl trend` against a scripted daemon."""

from __future__ import annotations

from ringmaster.protocol.stats import StatsPoint, StatsSeries
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_server import RpcServer

NOON = 20_000 * 86_400 + 12 * 3_600
EMPTY = StatsPoint(begin_at=NOON, end_at=NOON + 3_600)
FULL = StatsPoint(
    begin_at=NOON + 3_600,
    end_at=NOON + 7_200,
    attempts={"succeeded": 3, "failed": 1},
    landed=3,
    failed=1,
    success_rate=0.75,
    cost_usd=1.5,
    tokens_in=12_000,
    tokens_out=345,
    landed_after_s=125.0,
    gates=4,
    gate_s=90.0,
    is_open=True,
)


def test_figures_are_shown_the_newest_first_by_the_clock_that_was_asked_for(tmp_path):
    with RpcServer(tmp_path / "rm.sock") as daemon:
        rmctl = Rmctl(daemon.path)
        daemon.answers["stats.series"] = StatsSeries(by="hour", offset_s=0, project_id="", points=(EMPTY, FULL))
        ended = rmctl("trend", "--by", "hour", "--utc", "-P", "toy", "--since", "2024-10-04T12:00:00Z")
        assert (ended.code, ended.out.splitlines()) == (
            0,
            [
                "2024-10-04 13:00\t3\t1\t0\t4\t75%\t$1.50\t12,000\t345\t2m 5s\t4 (1m 30s)",
                "2024-10-04 12:00\t0\t0\t0\t0\t\t$0.00\t0\t0\t\t",
            ],
        )
        (asked,) = daemon.called("stats.series")
        assert (asked.by, asked.offset_s, asked.project_id, asked.since_at) == ("hour", 0, "toy", NOON)


def test_days_are_those_of_the_readers_time_zone(tmp_path):
    with RpcServer(tmp_path / "rm.sock") as daemon:
        rmctl = Rmctl(daemon.path)
        rmctl.environ["TZ"] = "XYZ-05:45"
        point = StatsPoint(begin_at=NOON + 6.25 * 3_600, end_at=NOON + 30.25 * 3_600)
        daemon.answers["stats.series"] = StatsSeries(by="day", offset_s=20_700, project_id="", points=(point,))
        assert rmctl("trend").out.startswith("2024-10-05\t")
        (asked,) = daemon.called("stats.series")
        assert (asked.by, asked.offset_s, asked.since_at) == ("day", 20_700, 0.0)


def test_what_nobody_has_told_the_cost_of_is_not_free(tmp_path):
    with RpcServer(tmp_path / "rm.sock") as daemon:
        rmctl = Rmctl(daemon.path)
        point = StatsPoint(begin_at=NOON, end_at=NOON + 3_600, attempts={"failed": 1}, tokens_in=5_000)
        daemon.answers["stats.series"] = StatsSeries(by="hour", offset_s=0, project_id="", points=(point,))
        assert rmctl("trend", "--utc").out.split("\t")[6:8] == ["unknown", "5,000"]
