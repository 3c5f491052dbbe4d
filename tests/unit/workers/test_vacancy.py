from __future__ import annotations

import msgspec

from ringmaster.model.event import Event
from ringmaster.workers.dispatcher import Vacancy


def event(type: str) -> Event:
    return Event(1, 0.0, type, "", "", "", "", "", "", msgspec.Raw(b"{}"))


def test_work_wakes_nobody_while_every_seat_is_taken():
    vacancy = Vacancy()
    assert vacancy.wakes(event("task.created"))
    vacancy.close(vacancy.begin_round())
    assert not vacancy.wakes(event("task.created"))
    assert vacancy.wakes(event("worker.freed"))
    assert vacancy.wakes(event("task.created"))


def test_a_round_that_began_before_a_seat_became_free_closes_nothing():
    vacancy = Vacancy()
    vacancy.close(vacancy.begin_round())
    begun = vacancy.begin_round()
    assert vacancy.wakes(event("worker.freed"))
    vacancy.close(begun)
    assert vacancy.wakes(event("task.created"))


def test_what_is_neither_work_nor_a_seat_wakes_nobody():
    assert not Vacancy().wakes(event("attempt.job_started"))
