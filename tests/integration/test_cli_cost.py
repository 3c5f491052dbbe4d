"""`rmctl cost` against a scripted daemon."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from ringmaster.protocol.cost import AgentCost, CostList, DayCost, ModelCost, TaskCost
from tests.fakes.rmctl import RMCTL, Rmctl
from tests.fakes.rpc_server import RpcServer

SUMS: dict[str, Any] = {"attempts": 3, "cost_usd": 1.5, "tokens_in": 12_000, "tokens_out": 345}
NOTHING: dict[str, Any] = {"attempts": 1, "cost_usd": 0.0, "tokens_in": 0, "tokens_out": 0}
SUMS_OF_ALL: dict[str, Any] = {"cost_usd": 0.0, "tokens_in": 12_000, "tokens_out": 345}
COSTS = CostList(
    cost_usd=1.5,
    tokens_in=12_000,
    tokens_out=345,
    by_model=(ModelCost(agent="claude", account="claude:1", model="big", **SUMS),),
    by_task=(TaskCost(task_id="rm-abc12", project_id="toy", **SUMS),),
    by_agent=(AgentCost(agent="claude", **SUMS), AgentCost(agent="scripted", **NOTHING)),
    by_day=(DayCost(day="2026-11-22", **SUMS),),
)


@pytest.mark.parametrize(
    ("by", "row"),
    [
        ("model", "big\tclaude\t$1.5000\t12,000\t345\t3\n"),
        ("agent", "claude\t$1.5000\t12,000\t345\t3\n"),
        ("day", "2026-11-22\t$1.5000\t12,000\t345\t3\n"),
        ("task", "rm-abc12\t$1.5000\t12,000\t345\t3\ttoy\n"),
    ],
)
def test_costs_are_shown_by_what_was_asked_for_and_summed_up(tmp_path, by, row):
    with RpcServer(tmp_path / "rm.sock") as daemon:
        daemon.answers["cost.list"] = COSTS
        rmctl = Rmctl(daemon.path)
        ended = rmctl("cost", "--by", by)
        assert (ended.code, ended.out) == (0, row)
        assert ended.err == "$1.5000 in all, 12,000 tokens in, 345 out\n"
        assert rmctl("cost", "--by", by, "-q").out == row.partition("\t")[0] + "\n"


def test_a_price_that_nobody_knows_is_not_shown_as_nothing_spent(tmp_path):
    unpriced = {**SUMS, "cost_usd": 0.0}
    known = ModelCost(agent="claude", account="claude:1", model="big", **SUMS)
    new = ModelCost(agent="codex", account="codex:1", model="new", **unpriced)
    with RpcServer(tmp_path / "rm.sock") as daemon:
        rmctl = Rmctl(daemon.path)
        daemon.answers["cost.list"] = CostList(**{**SUMS_OF_ALL, "cost_usd": 1.5}, by_model=(known, new), by_task=())
        ended = rmctl("cost")
        assert ended.out.splitlines()[1] == "new\tcodex\tunknown\t12,000\t345\t3"
        assert ended.err.startswith("at least $1.5000 in all, ")
        daemon.answers["cost.list"] = CostList(**SUMS_OF_ALL, by_model=(new,), by_task=())
        assert rmctl("cost").err.startswith("unknown in all, ")


def test_words_that_are_no_text_and_output_that_nobody_can_take_are_told_in_one_line(tmp_path):
    with RpcServer(tmp_path / "rm.sock") as daemon:
        daemon.answers["cost.list"] = COSTS
        rmctl = Rmctl(daemon.path)
        ended = rmctl("cost", "-P", os.fsdecode(b"a\xff"))
        assert ended.code == 2
        assert "rmctl: what was given is no UTF-8 text: it holds the byte 0xff" in ended.err
        rmctl("cost", "-P", "größe")
        assert daemon.called("cost.list")[-1]["project_id"] == "größe"
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [RMCTL, "cost"], stdout=full, stderr=subprocess.PIPE, env=rmctl.environ, timeout=30, check=False
            )
        assert done.returncode == 1
        assert done.stderr.decode().splitlines()[-1].startswith("rmctl: cannot write the output: No space left")
        assert "Traceback" not in done.stderr.decode()
