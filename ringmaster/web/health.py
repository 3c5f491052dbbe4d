"""What `/health` answers: whether all is well, for whoever asks, without a name of anything."""

from __future__ import annotations

from ringmaster.protocol.daemon import Health

GOOD, UNWELL = 200, 503


def health_answer(
    health: Health, *, version: str, generation: int, is_store_ok: bool, loop_lag_s: float, now: float
) -> tuple[int, dict[str, object]]:
    """Status and body. health: the same that `rmctl health` shows, so both say the same.

    generation: 0 where it runs from no release. loop_lag_s: 99 of 100 turns of the loop took no longer. now: unix
    seconds.
    """
    body: dict[str, object] = {
        "state": health.state,
        "words": health.words,
        "generation": generation,
        "version": version,
        "uptime_s": round(max(0.0, now - health.started_at), 3),
        "is_store_ok": is_store_ok,
        "loop_lag_s": round(loop_lag_s, 6),
    }
    return (GOOD if health.state == "ok" else UNWELL), body
