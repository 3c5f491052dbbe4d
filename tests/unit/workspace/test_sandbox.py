"""The walls around an agent: the command line, and what a real bubblewrap makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ringmaster.workspace import sandbox
from ringmaster.workspace.sandbox import Walls, own_places, programs_in, sandboxed


def make_walls(root: Path) -> Walls:
    """A person's home with a secret and a checkout, and a workspace inside a hidden state."""
    for name in ("home/.ssh", "state/workspaces/one", "state/workspaces/other", "state/repo"):
        (root / name).mkdir(parents=True)
    (root / "home/.ssh/id").write_text("secret")
    (root / "state/repo/HEAD").write_text("ref\n")
    return Walls(
        hidden=(root / "home", root / "state"),
        readable=(root / "state/repo",),
        writable=(root / "state/workspaces/one",),
        workspace=root / "state/workspaces/one",
    )


def test_what_lies_deeper_is_shown_on_top_of_what_hides_it(tmp_path: Path):
    argv = sandboxed(("claude", "-p"), make_walls(tmp_path))
    hidden = argv.index("--tmpfs")
    assert argv[0] == "bwrap"
    assert hidden < argv.index(str(tmp_path / "state/workspaces/one"))
    assert argv[-3:] == ("--", "claude", "-p")
    assert argv[argv.index("--chdir") + 1] == str(tmp_path / "state/workspaces/one")


def test_what_is_inside_of_something_hidden_is_hidden_once(tmp_path: Path):
    walls = Walls(hidden=(tmp_path / "a/b", tmp_path / "a"), readable=(), writable=(), workspace=tmp_path)
    argv = sandboxed(("x",), walls)
    assert argv.count("--tmpfs") == 1
    assert argv[argv.index("--tmpfs") + 1] == str(tmp_path / "a")


def test_a_program_named_by_its_path_shows_through_with_what_it_is_linked_to_and_its_modules(tmp_path: Path):
    modules = tmp_path / "x" / "node_modules"
    real = modules / "@maker" / "agent" / "agent.exe"
    real.parent.mkdir(parents=True)
    real.touch()
    (modules / ".bin").mkdir()
    (modules / ".bin" / "agent").symlink_to("../@maker/agent/agent.exe")
    found = programs_in(tmp_path / "home", "/usr/bin", str(modules / ".bin" / "agent"))
    assert set(found) == {modules, modules / ".bin", real.parent}


def test_programs_in_a_hidden_home_show_through(tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions/agent").write_text("")
    (tmp_path / "bin/agent").symlink_to(tmp_path / "versions/agent")
    found = programs_in(tmp_path, f"/usr/bin:{tmp_path}/bin:{tmp_path}/none", "agent")
    assert found == (tmp_path / "bin", tmp_path / "versions")


@pytest.fixture
def bwrap(left_out: Callable[[str, str], NoReturn]) -> str:
    program = shutil.which("bwrap")
    if program is None:
        left_out("bwrap", "bubblewrap is not installed: apt install bubblewrap")
    probe = subprocess.run([program, "--unshare-pid", "--ro-bind", "/", "/", "true"], capture_output=True, check=False)
    if probe.returncode:
        left_out("bwrap", f"bubblewrap does not work here: {probe.stderr.decode(errors='replace').strip()[:200]}")
    return program


def test_inside_there_is_the_workspace_and_no_secret(tmp_path: Path, bwrap: str):
    walls = make_walls(tmp_path)
    script = (
        "echo written > new.txt; cat ../../repo/HEAD;"
        f"ls -A {tmp_path}/home; ls {tmp_path}/state/workspaces; touch {tmp_path}/outside; echo y > ../../repo/HEAD"
    )
    done = subprocess.run(sandboxed(("sh", "-c", script), walls), capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["ref", "one"], done
    assert (walls.workspace / "new.txt").read_text() == "written\n"
    assert not (tmp_path / "outside").exists()
    assert (tmp_path / "state/repo/HEAD").read_text() == "ref\n"


def test_nothing_inside_outlives_its_first_process(tmp_path: Path, bwrap: str):
    walls = make_walls(tmp_path)
    reader, writer = os.pipe()
    subprocess.run(
        sandboxed(("sh", "-c", "setsid sleep 1000 & exit 0"), walls), check=True, pass_fds=(writer,), timeout=20
    )
    os.close(writer)
    assert os.read(reader, 1) == b"", "what was left inside holds no pipe any more"
    os.close(reader)


def test_this_very_program_shows_through_what_hides_it(tmp_path, monkeypatch):
    package = Path(sandbox.__file__).resolve().parents[1]
    above = package.parents[1]
    monkeypatch.setattr(sys, "prefix", str(above / "env"))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert own_places([above]) == (package, package.parent / "bin", above / "env")
    assert own_places([tmp_path]) == ()
    # An environment that was made in the home itself shows nothing of the home.
    monkeypatch.setattr(sys, "prefix", str(above))
    assert above not in own_places([above])
