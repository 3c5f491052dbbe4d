"""What is issued at the door: digests alone are kept, and there is an end to everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from ringmaster.web.access import CODES, LOGIN_S, LOGINS, TICKETS, Access, Grant, digest_of


def make_access(**given):
    return Access("token", **given)


def test_nothing_secret_is_kept_as_it_is():
    access = make_access()
    code, ticket = access.make_code(0.0), access.make_ticket(Grant(), 0.0)
    login = access.redeem(code.value, 0.0)
    assert login is not None
    kept = repr([vars(access), access.logins, *map(repr, access._tickets)])
    for secret in ("'token'", code.value, ticket.value, login.value):
        assert secret not in kept
    assert access.logins[0].digest == digest_of(login.value)


def test_each_kind_opens_only_what_it_is_for():
    access = make_access()
    ticket = access.make_ticket(Grant(), 0.0)
    code = access.make_code(0.0)
    for other in (ticket.value, "token", ""):
        assert access.redeem(other, 0.0) is None
    assert not access.find(code.value, 0.0)
    assert not access.find(ticket.value, 0.0)
    login = access.redeem(code.value, 0.0)
    assert login is not None
    for other in (login.value, code.value, "token"):
        assert not access.take_ticket(other, 0.0)
    assert access.take_ticket(ticket.value, 0.0) == Grant()
    assert not access.take_ticket(ticket.value, 0.0)


def test_one_more_than_there_may_be_ends_the_oldest():
    access = make_access()
    codes = [access.make_code(0.0).value for _ in range(CODES + 1)]
    assert access.redeem(codes[0], 0.0) is None
    assert access.redeem(codes[1], 0.0) is not None
    tickets = [access.make_ticket(Grant(), 0.0).value for _ in range(TICKETS + 1)]
    assert not access.take_ticket(tickets[0], 0.0)
    assert access.take_ticket(tickets[1], 0.0)
    logins = [access.redeem(access.make_code(1.0).value, 1.0) for _ in range(LOGINS + 1)]
    held = [login is not None and access.find(login.value, 1.0) is not None for login in logins]
    assert held == [False] + [True] * LOGINS


def test_logins_go_on_in_another_life_and_every_change_is_told():
    changes: list[int] = []
    first = make_access(on_change=lambda: changes.append(1))
    login = first.redeem(first.make_code(0.0).value, 0.0)
    assert login is not None
    again = make_access(logins=first.logins, on_change=lambda: changes.append(2))
    assert again.find(login.value, 1.0)
    assert again.end_login(login.value)
    assert not again.end_login(login.value)
    assert not again.find(login.value, 1.0)
    assert changes == [1, 2]


def test_a_ticket_is_worth_what_its_maker_has_left():
    access = make_access()
    login = access.redeem(access.make_code(0.0).value, 0.0)
    assert login is not None
    grant = access.find(login.value, 0.0)
    assert grant == Grant(digest_of(login.value), login.expires_at)
    first, second = (access.make_ticket(grant, 0.0).value for _ in range(2))
    assert access.take_ticket(first, 0.0) == grant
    access.end_login(login.value)
    assert access.take_ticket(second, 0.0) is None


async def wait_over_of(access: Access, grant: Grant, now: Callable[[], float]) -> None:
    with trio.fail_after(LOGIN_S + 5):
        await access.wait_over(grant, now)


async def test_who_came_by_a_login_hears_of_its_end_and_of_no_other(autojump_clock: trio.testing.MockClock):
    access = make_access()
    logins = [access.redeem(access.make_code(0.0).value, 0.0) for _ in range(2)]
    assert logins[0] is not None
    assert logins[1] is not None
    ended: list[int] = []
    async with trio.open_nursery() as nursery:

        async def watch(number: int, grant: Grant) -> None:
            await wait_over_of(access, grant, lambda: 0.0)
            ended.append(number)

        for number, login in enumerate(logins):
            grant = access.find(login.value, 0.0)
            assert grant is not None
            nursery.start_soon(watch, number, grant)
        nursery.start_soon(watch, 2, Grant())
        await trio.testing.wait_all_tasks_blocked()
        access.end_login(logins[1].value)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [1]
        # One that has to give way to newer ones ends as well.
        for _ in range(LOGINS):
            access.redeem(access.make_code(0.0).value, 0.0)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [1, 0]
        nursery.cancel_scope.cancel()


async def test_a_login_ends_at_its_time_without_anybody_asking(autojump_clock: trio.testing.MockClock):
    access = make_access()
    login = access.redeem(access.make_code(1000.0).value, 1000.0)
    assert login is not None
    grant = access.find(login.value, 1000.0)
    assert grant is not None
    began = trio.current_time()
    # The clock on the wall is set back meanwhile: it then lasts as long as that says.
    await wait_over_of(access, grant, lambda: 1000.0 + max(0.0, trio.current_time() - began - 3.0))
    assert trio.current_time() - began == pytest.approx(LOGIN_S + 3.0, abs=0.1)
