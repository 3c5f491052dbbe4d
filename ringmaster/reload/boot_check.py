"""The stage that starts a candidate's daemon on a copy of the database, asks it a few things and stops it again.

The copy has another instance id, its projects are paused and lead nowhere, its attempts are ended; it lies in a state
of its own, with a socket and a home of its own. So what the instance itself has at work is neither adopted nor ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import StageResult
from ringmaster.reload.boot_record import BootRecord, Image, write_record
from ringmaster.reload.candidate_spec import CandidateSpec
from ringmaster.reload.children import kill_session, marked, open_pidfd, tail, wait_process, words_of_status
from ringmaster.reload.policy import Judgement
from ringmaster.reload.release import RELEASES, Release, verify_release
from ringmaster.settings import SOCKET_PATH_LIMIT, load_settings
from ringmaster.store.copying import copy_database
from ringmaster.store.isolated import isolate_copy
from ringmaster.workspace.environment import build_environment

VARIABLE = "RINGMASTER_BOOT_CHECK"
"""In the daemon's environment: it makes no release, executes nothing in its place and watches nothing."""
READY = b"READY=1"
DYING_S = 1.0
_PROGRAM = """
import os, sys
root, config, *words = sys.argv[1:]
if config:
    sys.path.insert(0, root)
    from pathlib import Path
    from ringmaster.settings import load_settings
    load_settings(Path(config))
os.execv(sys.executable, [sys.executable, "-I", root + "/bin/ringmasterd", *words])
"""


class _Unfit(Exception):
    """What the candidate did is not what a daemon does."""


class _TooLong(Exception):
    """Nothing came within the limit; a busy machine does that too."""


def check_boot(spec: CandidateSpec, scratch: Path) -> Judgement:
    """Boot the candidate on a copy of the database, by its own stub and a boot record that names it. Blocking.

    Its stub first boots anything on the day after it was found good, and nobody else could then.
    Passed: it listened, answered, wrote durably, and ended with 0 when asked to. Failed: it ended by itself, answered
    with an error, or ended otherwise. Retry: one of these took longer than its limit, or the release on disk is no
    longer what was made. The words have the end of its log. Nothing of it is left behind but the log,
    `scratch`/boot.log.
    Raises OSError, and RingmasterError where the database cannot be copied.
    """
    log = scratch / "boot.log"
    release = Path(spec.root)
    if not verify_release(Release(release.name, spec.digest, release)):
        # Its own stub would refuse it, and a change that nobody made in the repository would be called bad for good.
        return Judgement(StageResult.RETRY, f"{release} was changed on disk while it was judged; it is made anew")
    with _open_state(scratch) as state:
        copy_database(Path(spec.database), state / "ringmaster.db")
        isolate_copy(state / "ringmaster.db", secrets.token_hex(8))
        _write_record(spec, state)
        try:
            words = _boot(spec, state, log)
        except _Unfit as error:
            return Judgement(StageResult.FAILED, _with_log(str(error), log))
        except _TooLong as error:
            return Judgement(StageResult.RETRY, _with_log(str(error), log))
    return Judgement(StageResult.PASSED, words)


@contextlib.contextmanager
def _open_state(scratch: Path) -> Iterator[Path]:
    """An empty state directory whose socket has a path that the kernel takes; removed at the end."""
    state = scratch / "boot"
    shutil.rmtree(state, ignore_errors=True)
    link = None
    state.mkdir(mode=0o700)
    named = state
    if len(os.fsencode(state / "ringmaster.sock")) > SOCKET_PATH_LIMIT:
        link = Path(tempfile.mkdtemp(prefix="rm-boot-"))
        named = link / "s"
        named.symlink_to(state)
    try:
        yield named
    finally:
        shutil.rmtree(state, ignore_errors=True)
        if link is not None:
            shutil.rmtree(link, ignore_errors=True)


def _boot(spec: CandidateSpec, state: Path, log: Path) -> str:
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(os.fsencode(state / "notify"))
        process = _start(spec, state, log)
        try:
            _wait_ready(process, notices, spec.boot_limit_s)
            listening_s = time.monotonic() - began
            _ask(process, state, spec.answer_limit_s)
            _stop(process, state, spec.answer_limit_s)
        finally:
            kill_session(process)
    return f"listened after {listening_s:.1f} s, answered, wrote, stopped"


def _start(spec: CandidateSpec, state: Path, log: Path) -> subprocess.Popen[bytes]:
    home = state / "home"
    home.mkdir(mode=0o700)
    environment = build_environment(os.environ, home, state / "caches")
    environment |= {VARIABLE: "1", "NOTIFY_SOCKET": str(state / "notify")}
    with log.open("wb") as said:
        return subprocess.Popen(
            [spec.python, "-I", "-B", "-c", _PROGRAM, spec.root, _readable(spec.config), "-s", str(state)],
            cwd=state,
            env=marked(environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _write_record(spec: CandidateSpec, state: Path) -> None:
    release = Path(spec.root).name
    (state / RELEASES).mkdir()
    (state / RELEASES / release).symlink_to(spec.root)
    write_record(state, BootRecord(good=Image(spec.generation, release, spec.digest, spec.python)))


def _readable(config: str) -> str:
    """The settings file where the running release can read it: what a person broke there is no fault of a candidate."""
    try:
        load_settings(Path(config))
    except RingmasterError:
        return ""
    return config if config and os.path.exists(config) else ""


def _wait_ready(process: subprocess.Popen[bytes], notices: socket.socket, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    with open_pidfd(process.pid) as pidfd:
        while True:
            left_s = deadline - time.monotonic()
            readable = select.select([notices.fileno(), pidfd], [], [], max(0.0, left_s))[0]
            if notices.fileno() in readable:
                if READY in notices.recv(65536).splitlines():
                    return
            elif pidfd in readable:
                process.wait()
                raise _Unfit(f"the daemon ended before it listened ({words_of_status(process.returncode)})")
            else:
                raise _TooLong(f"the daemon did not listen within {limit_s:g} s")


def _ask(process: subprocess.Popen[bytes], state: Path, limit_s: float) -> None:
    """Version, health, status, and a durable write that is read back."""
    with Client(str(state / "ringmaster.sock"), timeout_s=limit_s) as client:
        try:
            for method in ("daemon.version", "daemon.health", "daemon.status"):
                client.call(method)
            projects = client.call("project.list")["projects"]
            if projects:
                _write_task(client, str(projects[0]["id"]))
            else:
                _write_worker(client)
        except RingmasterError as error:
            if error.kind is ErrorKind.TIMED_OUT:
                raise _TooLong(f"a request was not answered within {limit_s:g} s") from error
            # A connection ends a moment before the process that had it.
            if wait_process(process, DYING_S if error.kind is ErrorKind.UNREACHABLE else 0):
                ended = words_of_status(process.returncode)
                raise _Unfit(f"the daemon ended while it was asked ({ended})") from error
            raise _Unfit(f"a request was answered with an error: {error.message}") from error
        except (KeyError, IndexError, TypeError) as error:
            raise _Unfit(f"a request was answered with something else: {error!r}") from error


def _write_task(client: Client, project_id: str) -> None:
    title = "Boot check"
    added = client.call("task.add", {"title": title, "project_id": project_id, "is_draft": True})
    task_id = added["view"]["task"]["id"]
    found = client.call("task.show", {"id": task_id})["view"]["task"]
    if (found["id"], found["title"], found["state"]) != (task_id, title, "draft"):
        raise _Unfit(f"a task that was filed reads {found['state']} {found['title']!r}")


def _write_worker(client: Client) -> None:
    client.call("worker.spawn", {"agent": "scripted", "id": "boot-check"})
    workers = client.call("worker.list")["workers"]
    if not any(view["worker"]["id"] == "boot-check" for view in workers):
        raise _Unfit("a worker that was spawned is not among the workers")


def _stop(process: subprocess.Popen[bytes], state: Path, limit_s: float) -> None:
    with Client(str(state / "ringmaster.sock"), timeout_s=limit_s) as client:
        # The answer may come with the end of the connection: what counts is the exit status.
        with contextlib.suppress(RingmasterError):
            client.call("daemon.stop")
    if not wait_process(process, limit_s):
        raise _TooLong(f"the daemon did not stop within {limit_s:g} s")
    if process.returncode != 0:
        raise _Unfit(f"the daemon stopped with {words_of_status(process.returncode)}")


def _with_log(words: str, log: Path) -> str:
    """The words and how the log ends; its last line is in the first already, which is all that most places show."""
    said = tail(log)
    # Python draws groups of exceptions with bars around them.
    last = next((line for line in reversed([line.strip(" |+-") for line in said.splitlines()]) if line), "")
    return f"{words}: {last}\n{said}" if last else words
