"""What is issued at the door: digests alone are kept, and there is an end to everything."""

from __future__ import annotations

from ringmaster.web.access import CODES, LOGINS, TICKETS, Access, digest_of


def make_access(**given):
    return Access("token", **given)


def test_nothing_secret_is_kept_as_it_is():
    access = make_access()
    code, ticket = access.make_code(0.0), access.make_ticket(0.0)
    login = access.redeem(code.value, 0.0)
    assert login is not None
    kept = repr([vars(access), access.logins, *map(repr, access._tickets)])
    for secret in ("'token'", code.value, ticket.value, login.value):
        assert secret not in kept
    assert access.logins[0].digest == digest_of(login.value)


def test_each_kind_opens_only_what_it_is_for():
    access = make_access()
    ticket = access.make_ticket(0.0)
    code = access.make_code(0.0)
    for other in (ticket.value, "token", ""):
        assert access.redeem(other, 0.0) is None
    assert not access.has(code.value, 0.0)
    assert not access.has(ticket.value, 0.0)
    login = access.redeem(code.value, 0.0)
    assert login is not None
    for other in (login.value, code.value, "token"):
        assert not access.take_ticket(other, 0.0)
    assert access.take_ticket(ticket.value, 0.0)
    assert not access.take_ticket(ticket.value, 0.0)


def test_one_more_than_there_may_be_ends_the_oldest():
    access = make_access()
    codes = [access.make_code(0.0).value for _ in range(CODES + 1)]
    assert access.redeem(codes[0], 0.0) is None
    assert access.redeem(codes[1], 0.0) is not None
    tickets = [access.make_ticket(0.0).value for _ in range(TICKETS + 1)]
    assert not access.take_ticket(tickets[0], 0.0)
    assert access.take_ticket(tickets[1], 0.0)
    logins = [access.redeem(access.make_code(1.0).value, 1.0) for _ in range(LOGINS + 1)]
    held = [login is not None and access.has(login.value, 1.0) for login in logins]
    assert held == [False] + [True] * LOGINS


def test_logins_go_on_in_another_life_and_every_change_is_told():
    changes: list[int] = []
    first = make_access(on_change=lambda: changes.append(1))
    login = first.redeem(first.make_code(0.0).value, 0.0)
    assert login is not None
    again = make_access(logins=first.logins, on_change=lambda: changes.append(2))
    assert again.has(login.value, 1.0)
    assert again.end_login(login.value)
    assert not again.end_login(login.value)
    assert not again.has(login.value, 1.0)
    assert changes == [1, 2]
