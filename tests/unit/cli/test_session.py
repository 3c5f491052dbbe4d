from __future__ import annotations

import pytest

from ringmaster.cli.session import Session
from ringmaster.model.errors import RingmasterError


def make_session(**options: str) -> Session:
    session = Session({"HOME": "/home/me", "RMCTL_SOCKET": options.pop("socket", "")})
    for name, value in options.items():
        session.set_global(name, value)
    return session


def test_the_default_instance():
    assert make_session().socket_path() == "/home/me/.local/state/ringmaster/default/ringmaster.sock"


def test_the_environment_names_a_socket():
    assert make_session(socket="/run/x.sock").socket_path() == "/run/x.sock"


def test_the_option_wins_over_the_environment():
    session = make_session(socket="/run/x.sock", instance="selfhost")
    assert session.socket_path() == "/home/me/.local/state/ringmaster/selfhost/ringmaster.sock"


def test_the_option_takes_a_state_directory_or_a_socket():
    assert make_session(instance="/s").socket_path() == "/s/ringmaster.sock"
    assert make_session(instance="/s/y.sock").socket_path() == "/s/y.sock"


def test_a_sockets_state_is_found_by_its_place_or_its_name(tmp_path):
    assert str(make_session(socket="/s/ringmaster.sock").paths.state) == "/s"
    session = make_session(socket=f"{tmp_path}/ringmaster/selfhost.sock")
    session.environ = {**session.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    assert str(session.paths.state) == "/home/me/.local/state/ringmaster/selfhost"


def test_a_socket_that_lies_anywhere_says_nothing_of_its_state():
    with pytest.raises(RingmasterError, match="does not say where its state is"):
        _ = make_session(socket="/run/x.sock").paths


def test_commands_to_copy_speak_to_the_same_instance():
    session = make_session(instance="selfhost")
    assert session.command("status") == "rmctl -s selfhost status"
    assert session.with_instance("do: rmctl show x; rmctl ls") == "do: rmctl -s selfhost show x; rmctl -s selfhost ls"
    assert session.with_instance("rmctl -s other …; or rmctl ls") == "rmctl -s other …; or rmctl -s selfhost ls"
    assert make_session().with_instance("rmctl ls") == "rmctl ls"


def test_every_mutation_has_a_key_of_its_own():
    session = make_session()
    assert len({session.new_key() for _ in range(100)}) == 100


def test_a_persons_own_key_is_used_first_and_numbered_after():
    session = make_session(idempotency_key="k")
    assert [session.new_key(), session.new_key(), session.new_key()] == ["k", "k/2", "k/3"]


def test_a_bad_timeout_is_refused():
    with pytest.raises(RingmasterError, match="is no duration"):
        make_session(timeout="soon")


def test_no_timeout_is_no_deadline():
    assert make_session().deadline().left_s() is None
    left = make_session(timeout="1h").deadline().left_s()
    assert left is not None
    assert 3590 < left <= 3600
