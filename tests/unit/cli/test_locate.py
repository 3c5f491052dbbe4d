from __future__ import annotations

import itertools

import pytest

from ringmaster.cli.locate import find_socket
from ringmaster.model.errors import RingmasterError
from ringmaster.settings import resolve_paths

NAMES = ["", "default", "selfhost", "a-b_c.d", "/abs/state", "rel/state", "~/state", "./x", "/", "/a/../b"]


@pytest.mark.parametrize("name", NAMES)
def test_the_short_way_says_what_the_rule_says(name, tmp_path, monkeypatch):
    # Relative names are taken from here, and a checkout may lie where no socket path fits.
    monkeypatch.chdir("/")
    choices = {
        "RINGMASTER_STATE": ["", "other", "/other/state"],
        "XDG_RUNTIME_DIR": ["", str(tmp_path), "/nowhere", "relative"],
        "XDG_STATE_HOME": ["", "/xdg/state", "relative"],
        "HOME": ["/home/me"],
    }
    for values in itertools.product(*choices.values()):
        environ = {key: value for key, value in zip(choices, values, strict=True) if value}
        assert find_socket(name, environ) == str(resolve_paths(name, environ).socket), environ


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_whose_home_it_is_is_left_to_the_rule(environ):
    assert find_socket("", environ) is None
    assert find_socket("/abs/state", environ) == "/abs/state/ringmaster.sock"
    assert find_socket("", {"XDG_STATE_HOME": "/xdg", **environ}) == "/xdg/ringmaster/default/ringmaster.sock"


@pytest.mark.parametrize("name", [".hidden", "a b", "ä/" * 60, "x" * 120, "$x"])
def test_what_the_rule_refuses_is_left_to_it(name):
    environ = {"HOME": "/home/me"}
    assert find_socket(name, environ) is None
    with pytest.raises(RingmasterError):
        resolve_paths(name, environ)
