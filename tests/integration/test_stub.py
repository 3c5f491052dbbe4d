"""The boot stub with real processes: it chooses, guards what is on trial, and goes back on the same listener."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ringmaster.proc.job import PYTHON
from ringmaster.proc.keeper_start import KEEPER
from ringmaster.reload.boot_record import drop_trial, go_back, write_record
from tests.fakes.stub_world import GOOD, SERVES, STUB, StubWorld, open_stub_world

LONG_S = 30.0
# Each ends by itself or hangs; the reason is what the record must then say.
FAILING = {
    "raises at import": ("1 / 0\n", "ZeroDivisionError: division by zero"),
    "is no Python": ("def main(:\n", "SyntaxError: invalid syntax (main.py, line 1)"),
    "exits": ("import sys\ndef main(argv, boot): sys.exit(3)\n", "it ended with status 3"),
    "says why": ("def main(argv, boot): raise SystemExit('no room\\n  is left')\n", "no room is left"),
    "refuses": ("def main(argv, boot): return 2\n", "it ended with status 2"),
    "fails deep inside": (
        "def main(argv, boot): raise ExceptionGroup('a', [ExceptionGroup('b', [KeyError('c')])])\n",
        "KeyError: 'c'",
    ),
    "closes all and raises": (
        "import os\ndef main(argv, boot):\n  for fd in range(3, 50):\n    try: os.close(fd) if fd in "
        "[int(os.environ.pop(f'RINGMASTER_{n}_FD', -1)) for n in ('LOCK', 'LISTENER')] else None\n"
        "    except OSError: pass\n  raise OSError('gone')\n",
        "OSError: gone",
    ),
}
HANGING = {
    "sleeps": "import threading\ndef main(argv, boot): threading.Event().wait()\n",
    "sleeps at import": "import threading\nthreading.Event().wait()\n",
    "blocks on a lock at import": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n",
    "spins": "def main(argv, boot):\n  while True: pass\n",
}
HOLDS = "import ctypes\ndef main(argv, boot): ctypes.PyDLL(None).sleep(1000)\n"
FAULTS = "import ctypes\ndef main(argv, boot): ctypes.string_at(0)\n"
# It has come up and says so, but never beats: for a guard that is long.
COMES_UP = f"{SERVES}\nmain = serve\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StubWorld]:
    with open_stub_world(tmp_path / "s") as made:
        made.claim()
        yield made


@pytest.mark.parametrize("name", FAILING)
def test_what_fails_on_trial_is_replaced_by_the_good_one_in_the_same_process(world, name):
    main, reason = FAILING[name]
    world.write(GOOD, trial=main, guard_s=LONG_S)
    process = world.run(world.trial_argv())
    said = world.ask()
    assert (said["generation"], said["pid"], said["is_trial"]) == (1, process.pid, False)
    assert said["argv"] == world.words
    assert said["is_inheritable"] == [False, False]
    assert said["is_blocked"], "a signal must not end it before it has handlers"
    assert (world.record.trial, world.reasons) == (None, [(2, reason)])


@pytest.mark.parametrize("name", HANGING)
def test_what_hangs_on_trial_is_replaced_by_its_guard(world, name):
    world.write(GOOD, trial=HANGING[name])
    process = world.run(world.trial_argv())
    said = world.ask()
    assert (said["generation"], said["pid"]) == (1, process.pid)
    assert (world.record.trial, world.reasons) == (None, [(2, "it gave no sign of life for 0.2 s")])


@pytest.mark.parametrize("is_taken", [False, True])
def test_what_was_handed_over_goes_back_with_it_until_it_is_taken(world, is_taken):
    main = "def main(argv, boot):\n  boot.take_handoff()\n  1 / 0\n" if is_taken else "1 / 0\n"
    world.write(GOOD, trial=main, guard_s=LONG_S)
    handoff = os.memfd_create("handoff", 0)
    os.write(handoff, b"three streams")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        world.run(world.trial_argv(handoff_fd=handoff, kept_fds=[theirs.fileno()]), handoff, theirs.fileno())
        theirs.close()
        os.close(handoff)
        assert world.ask()["handoff"] == ("" if is_taken else "three streams")
        # The good one that has it keeps the connection; one that was lost on the way is closed.
        ours.settimeout(30 if is_taken else 0)
        if is_taken:
            assert ours.recv(1) == b""
        else:
            with pytest.raises(BlockingIOError):
                ours.recv(1)


def test_who_beats_is_left_alone(world):
    main = f"""{SERVES}
import time, threading
def main(argv, boot):
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        boot.beat()
        threading.Event().wait(0.01)
    boot.disarm()
    return serve(argv, boot)
"""
    record = world.write(GOOD, trial=main, guard_s=0.2)
    process = world.run(world.trial_argv())
    said = world.ask("stop")
    assert (said["generation"], said["pid"], said["is_trial"]) == (2, process.pid, False)
    assert process.wait(30) == 0
    # Whoever disarms has settled the record, one way or the other; the stub has counted the boot.
    assert world.record.trial is not None
    assert world.record.trial.boots == 1
    assert drop_trial(world.record) == drop_trial(record)


@pytest.mark.parametrize("is_disarmed", [True, False])
def test_what_was_found_good_is_not_taken_back(world, is_disarmed):
    settle = "record['good'], record['trial'] = record['trial'], None"
    main = f"""{SERVES}
import threading
def main(argv, boot):
    path = argv[1] + "/boot.json"
    record = json.load(open(path))
    {settle}
    json.dump(record, open(path, "w"))
    if {is_disarmed}:
        boot.disarm()
    threading.Event().wait(0.3)
    return serve(argv, boot)
"""
    world.write(GOOD, trial=main, guard_s=0.1)
    process = world.run(world.trial_argv())
    assert world.ask("raise")["generation"] == 2
    # Crash-only from now on: its keeper starts it again.
    assert process.wait(30) == 1
    assert "RuntimeError: as told" in process.communicate()[0]
    assert world.reasons == []


def test_a_stop_that_was_asked_for_is_no_verdict(world):
    world.write(GOOD, trial=COMES_UP, guard_s=LONG_S)
    process = world.run(world.trial_argv())
    assert world.ask("stop")["generation"] == 2
    assert process.wait(30) == 0
    assert (world.record.trial, world.reasons) == (None, [])


def test_a_trial_that_was_changed_is_not_run(world):
    record = world.write(GOOD, trial=COMES_UP, guard_s=LONG_S)
    with (world.root_of(record.trial) / "sql" / "none.sql").open("a") as file:
        file.write("DROP TABLE tasks;\n")
    world.run(world.trial_argv())
    assert world.ask()["generation"] == 1
    assert "is not what it was when it was made" in world.reasons[0][1]


@pytest.fixture
def kept(world: StubWorld) -> Iterator[Kept]:
    world.let_go()
    made = Kept(world)
    yield made
    made.end()


class Kept:
    """The world with a real keeper, which has the lock and the listener."""

    def __init__(self, world: StubWorld) -> None:
        self.world = world
        self.pid = 0

    def start(self, *daemon: str) -> None:
        """Start it, and wait until what it runs has chosen: a trial that is found then would be a dead one."""
        argv = [
            PYTHON,
            "-I",
            "-S",
            str(KEEPER),
            str(self.world.state),
            "--socket",
            str(self.world.socket),
            "--",
            *daemon,
        ]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, cwd="/")
        self.pid = int(done.stdout.split()[1].partition("=")[2])
        self.world.ask()

    def end(self) -> None:
        if self.pid:
            with os.fdopen(os.pidfd_open(self.pid)) as ended:
                self.world.ask("stop")
                assert select.select([ended], [], [], 30)[0]


@pytest.mark.parametrize(
    ("main", "end"),
    [(HOLDS, "ended with status 1"), (FAULTS, "was killed by SIGSEGV"), (COMES_UP, "was killed by SIGKILL")],
    ids=["holds the interpreter", "segmentation fault", "kill -9"],
)
def test_a_trial_that_dies_is_replaced_by_the_keeper_on_the_kept_listener(world, kept, main, end):
    world.write(GOOD, trial=main, guard_s=0.1 if main is HOLDS else LONG_S)
    argv = world.trial_argv()
    write_record(world.state, drop_trial(trial := world.record))
    kept.start(*world.choose_argv())
    write_record(world.state, trial)
    pid = world.ask("switch " + json.dumps(argv))["pid"]
    if end.endswith("SIGKILL"):
        on_trial = world.ask()
        assert (on_trial["generation"], on_trial["pid"]) == (2, pid)
        kill(pid)
    said = world.ask()
    assert said["generation"] == 1
    assert said["pid"] != pid
    assert world.reasons == [(2, f"its process {end} before it had proved itself")]
    if main is HOLDS:
        assert "Timeout (0:00:01.2" in (world.state / "daemon.log").read_text()


def kill(pid: int) -> None:
    """And wait for its end: a process on its way out may still take a connection."""
    with os.fdopen(os.pidfd_open(pid)) as ended:
        os.kill(pid, signal.SIGKILL)
        assert select.select([ended], [], [], 30)[0]


def test_trials_that_die_are_not_counted_against_the_good_one(world, kept):
    record = world.write(GOOD, GOOD, trial=COMES_UP, guard_s=LONG_S)
    argv = world.trial_argv()
    write_record(world.state, drop_trial(record))
    kept.start(*world.choose_argv())
    for _ in range(3):
        write_record(world.state, record)
        pid = world.ask("switch " + json.dumps(argv))["pid"]
        assert (said := world.ask())["generation"] == 3
        assert said["pid"] == pid
        kill(pid)
        assert world.ask()["generation"] == 2
    kill(world.ask()["pid"])
    assert world.ask()["generation"] == 2


def test_the_deaths_of_one_good_release_are_not_counted_against_another(world, kept):
    record = world.write(GOOD, GOOD)
    kept.start(*world.choose_argv())
    for image in (record.before, record.good, record.before, record.good):
        write_record(world.state, go_back(world.record, image))
        kill(world.ask()["pid"])
        assert world.ask()["generation"] == image.generation


def test_after_a_crash_it_is_the_good_releases_stub_that_runs(world, kept):
    world.write(GOOD)
    edited = world.state / "edited"
    edited.write_text(STUB.read_text())
    kept.start(sys.executable, "-I", str(edited), *world.words)
    edited.write_text("an editor's half ( of a stub")
    kill(world.ask()["pid"])
    said = world.ask()
    assert (said["generation"], said["argv"]) == (1, world.words)


def test_a_machine_that_went_down_is_no_verdict(world):
    world.write(GOOD, trial=COMES_UP, boot_id="another boot", boots=1)
    world.run(world.choose_argv())
    assert world.ask()["generation"] == 1
    assert (world.record.trial, world.reasons) == (None, [])


def test_a_trial_that_was_never_entered_is_not_called_bad_for_the_death_of_the_image_before_it(world):
    world.write(GOOD, trial=COMES_UP, boots=0)
    world.run(world.choose_argv(), RINGMASTER_DEATHS="1", RINGMASTER_LAST_EXIT="-9")
    assert world.ask()["generation"] == 1
    assert (world.record.trial, world.reasons) == (None, [])


def test_a_trial_is_counted_before_anything_of_it_runs(world):
    reads = "import json\ndef main(argv, boot): print(json.load(open(argv[1] + '/boot.json'))['trial']['boots'])\n"
    world.write(GOOD, trial=reads, guard_s=LONG_S)
    out, _ = world.run(world.trial_argv()).communicate(timeout=30)
    assert out == "1\n"


def test_a_trial_whose_boot_cannot_be_noted_is_not_run(world):
    world.write(GOOD, trial=COMES_UP, guard_s=LONG_S)
    # The stub's own temporary file: nobody can write a directory.
    (world.state / "boot.json.stub").mkdir()
    world.run(world.trial_argv())
    assert world.ask()["generation"] == 1
    assert world.reasons == []


@pytest.mark.parametrize("is_held", [False, True])
def test_without_the_lock_only_who_can_have_it_writes(world, is_held):
    claimed, world.fds = world.fds, ()
    no_lock = "import os\ndef main(argv, boot): print(boot.generation, sorted(os.environ)); return 0\n"
    before = world.write(no_lock, trial=COMES_UP, boots=1)
    if not is_held:
        for fd in claimed:
            os.close(fd)
    out, _ = world.run(world.choose_argv()).communicate(timeout=30)
    assert out.startswith("1 ")
    assert "RINGMASTER_LOCK_FD" not in out
    assert (world.record == before) is is_held
    assert len(world.reasons) == (0 if is_held else 1)
    world.fds = claimed if is_held else ()


def test_of_many_that_find_a_dead_trial_at_once_one_notes_it(world):
    world.let_go()
    world.write("def main(argv, boot): print(boot.generation); return 0\n", trial=COMES_UP, boots=1)
    argv = world.choose_argv()
    processes = [world.run(argv) for _ in range(6)]
    assert [process.communicate(timeout=30)[0] for process in processes] == ["1\n"] * 6
    assert world.reasons == [(2, "its process ended before it had proved itself")]


@pytest.mark.parametrize("what", ["release", "file", "python"])
def test_a_damaged_good_one_is_replaced_by_the_one_before(world, what):
    record = world.write(GOOD, GOOD)
    argv = [*world.choose_argv()]
    argv[2] = str(world.root_of(record.before) / "bin" / "ringmasterd")
    if what == "release":
        world.root_of(record.good).rename(world.state / "elsewhere")
    elif what == "file":
        (world.root_of(record.good) / "ringmaster" / "daemon" / "more.py").write_text("")
    else:
        write_record(world.state, go_back(record, record.before))
        good = msgspec.structs.replace(record.good, python=str(world.state / "no" / "python"))
        write_record(world.state, go_back(world.record, good))
    world.run(argv)
    assert world.ask()["generation"] == 1
    assert (world.record.good.generation, world.record.before) == (1, None)
    assert [number for number, _ in world.reasons] == [2]


def test_with_nothing_good_left_one_line_says_so(world):
    record = world.write(GOOD)
    argv = [world.choose_argv()[0], "-I", str(STUB), *world.words]
    (world.root_of(record.good) / "sql" / "none.sql").unlink()
    process = world.run(argv)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out.startswith("ringmasterd: generation 1: the release ")
    assert out.endswith(f"none is left: move {world.state}/boot.json away and start again\n")
    assert out.count("\n") == 1


def test_a_good_one_that_keeps_dying_is_replaced_by_the_one_before(world):
    world.write(GOOD, GOOD)
    world.run(world.choose_argv(), RINGMASTER_DEATHS="2", RINGMASTER_LAST_EXIT="1")
    assert world.ask("stop")["generation"] == 2
    world.run(world.choose_argv(), RINGMASTER_DEATHS="3", RINGMASTER_LAST_EXIT="1")
    assert world.ask("stop")["generation"] == 1
    assert world.reasons == [(2, "3 early deaths in a row")]
    # There is no other to go back to.
    world.run(world.choose_argv(), RINGMASTER_DEATHS="4", RINGMASTER_LAST_EXIT="1")
    assert world.ask()["generation"] == 1


@pytest.mark.parametrize("text", [None, b"", b"{", b'{"format": 2}', b'{"format": 1, "good": {"generation": "1"}}'])
def test_without_a_record_the_package_beside_the_stub_runs(world, text):
    world.write(GOOD.replace("def serve(argv, boot)", "def serve(argv, boot=None)"))
    argv = world.choose_argv()
    (world.state / "boot.json").unlink()
    if text is not None:
        (world.state / "boot.json").write_bytes(text)
    world.run(argv)
    said = world.ask()
    assert (said["generation"], said["argv"]) == (0, world.words)


@pytest.mark.parametrize("word", ["--version", "--vers", "--check", "--help", "-h", "--in-place"])
def test_words_about_itself_and_in_place_are_the_business_of_the_package_beside_it(world, word):
    world.write("def main(argv, boot=None): print(boot, argv); return 0\n")
    out, _ = world.run([*world.choose_argv(), word]).communicate(timeout=30)
    assert out == f"None {[*world.words, word]}\n"


def test_an_unknown_generation_is_not_booted(world):
    world.write(GOOD, trial=COMES_UP)
    argv = world.trial_argv()
    write_record(world.state, drop_trial(world.record))
    process = world.run(argv)
    said = world.ask()
    assert (said["generation"], said["pid"]) == (1, process.pid)
