"""`/health`: 200 when all is well, 503 otherwise, and what it says."""

from __future__ import annotations

import pytest

from ringmaster.protocol.daemon import Health
from ringmaster.web.health import health_answer


@pytest.mark.parametrize(
    ("state", "status"), [("ok", 200), ("degraded", 503), ("stopping", 503), ("estop", 503), ("starting", 503)]
)
def test_whoever_asks_learns_whether_all_is_well_and_no_name(state: str, status: int):
    health = Health(state=state, words="so", pid=42, started_at=100.0, is_kept=True, unit="secret.service")
    answer = health_answer(
        health, version="1.2", generation=7, is_store_ok=state != "degraded", loop_lag_s=0.00123456789, now=160.5
    )
    assert answer == (
        status,
        {
            "state": state,
            "words": "so",
            "generation": 7,
            "version": "1.2",
            "uptime_s": 60.5,
            "is_store_ok": state != "degraded",
            "loop_lag_s": 0.001235,
        },
    )
