"""Where files lie, and a settings file that is taken whole or refused in one line."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ringmaster.model.errors import RingmasterError
from ringmaster.model.order import RULES
from ringmaster.settings import SOCKET_PATH_LIMIT, Settings, load_settings, resolve_paths, taken_over


def test_names_lie_under_the_xdg_directories_and_paths_where_they_say(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    environ = {"HOME": "/home/ada", "XDG_STATE_HOME": "/var/state", "XDG_RUNTIME_DIR": str(runtime)}
    named = resolve_paths("night", environ)
    assert named.state == Path("/var/state/ringmaster/night")
    assert named.socket == runtime / "ringmaster" / "night.sock"
    placed = resolve_paths(str(tmp_path / "here"), environ)
    assert (placed.state, placed.socket) == (tmp_path / "here", tmp_path / "here" / "ringmaster.sock")
    without = resolve_paths(None, {"HOME": "/home/ada"})
    assert without.socket == Path("/home/ada/.local/state/ringmaster/default/ringmaster.sock")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}], ids=["unset", "empty", "relative"])
def test_a_home_that_is_none_is_the_one_the_system_knows(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    paths = resolve_paths(None, environ)
    assert (paths.state, paths.config) == (
        home / ".local/state/ringmaster/default",
        home / ".config/ringmaster/config.toml",
    )
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(RingmasterError, match="HOME is not set and the system knows no home of user 2147483641"):
        resolve_paths(None, environ)


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "x;y"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(RingmasterError, match="is no name for a state"):
        resolve_paths(name, {"HOME": "/home/ada"})


def test_a_socket_path_that_the_kernel_refuses_is_told_with_its_length() -> None:
    with pytest.raises(RingmasterError, match=f"bytes and the kernel takes {SOCKET_PATH_LIMIT}"):
        resolve_paths("/" + "x" * 120, {"HOME": "/home/ada"})


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "config.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[daemon]\ndrain_s = -1\n", "drain_s"),
        ("[deamon]\n", "deamon"),
        ("[limits]\nwall_s = 'long'\n", "wall_s"),
        ("[self]\nguard_s = inf\n", "guard_s"),
        ("= nonsense", "line 1"),
    ],
)
def test_a_bad_file_is_refused_whole_naming_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(RingmasterError) as caught:
        load_settings(config)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_what_never_ends_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    os.mkfifo(config)
    with pytest.raises(RingmasterError, match="it is a pipe and no file"):
        load_settings(config)
    config.unlink()
    config.symlink_to("/dev/zero")
    with pytest.raises(RingmasterError, match="larger than 1 MiB"):
        load_settings(config)
    config.unlink()
    config.symlink_to("/dev/null")
    assert load_settings(config) == Settings()


def test_the_order_of_work_takes_a_patience_for_each_priority_and_nothing_that_is_none(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[order]\npatience_s = [-3600, 0, 60, 120, 180]\ncap_s = 600\npivots = 8\n")
    rules = load_settings(config).order.rules
    assert (tuple(rules.patience_s), rules.cap_s, rules.pivots) == ((-3600, 0, 60, 120, 180), 600, 8)
    assert Settings().order.rules == RULES
    for line in ("patience_s = [1, 2, 3]", "cap_s = -1", "pivots = 0", "seed = -1", "pagerank = 3"):
        config.write_text(f"[order]\n{line}\n")
        with pytest.raises(RingmasterError, match=line.partition(" ")[0]):
            load_settings(config)


def test_a_command_with_a_nul_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[daemon]\non_decision = ["a\\u0000b"]\n')
    with pytest.raises(RingmasterError, match="on_decision") as caught:
        load_settings(file)
    assert "\n" not in caught.value.message


def test_the_door_listens_on_an_address_under_names_and_nothing_else(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[stream]\nport = 8321\nlisten = "::1"\nnames = ["localhost:8321", "rm.example"]\n')
    stream = load_settings(config).stream
    assert (stream.is_enabled, stream.listen, stream.port) == (True, "::1", 8321)
    for line in (
        "port = 65536",
        "port = -1",
        'listen = "localhost"',
        'listen = "127.1"',
        'names = ["http://x"]',
        'names = [""]',
        "x = 1",
    ):
        config.write_text(f"[stream]\n{line}\n")
        with pytest.raises(RingmasterError) as refused:
            load_settings(config)
        assert "stream" in refused.value.message
    # A door that is open follows.
    assert taken_over(Settings(stream=stream), Settings()).stream == stream
    config.write_text('[stream]\nlisten = "0:0:0:0:0:0:0:1"\n')
    assert load_settings(config).stream.listen == "::1"
