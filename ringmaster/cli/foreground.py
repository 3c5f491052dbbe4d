"""An agent's job in the foreground: its shim is a child of rmctl, and its output is shown as it comes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import threading
from pathlib import Path

from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import RingmasterError

LAST_OUTPUT_S = 5.0
"""How long after the job's end the rest of its output is waited for."""


class Foreground:
    """The job of one pulled attempt. `start`, then `wait`; `stop` may be called by a signal handler meanwhile.

    The daemon adopts the job once it runs, so it goes on and is judged whatever becomes of this process.
    """

    def __init__(self, session: Session, pulled: Row) -> None:
        self.session = session
        self.pulled = pulled
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    def start(self) -> bool:
        """Start the shim; False when somebody else has taken the attempt or its job."""
        directory = Path(self.pulled["job"])
        try:
            # Not inherited but by the shim; held from here, so that the daemon takes the job for begun.
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return self._lost()
        try:
            # Waits for the moment in which the daemon looks, or seals the job.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (directory / "spec.json").exists() or (directory / "run.json").exists():
                return self._lost()
            try:
                log = os.open(directory / "shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                # Whoever holds the lock and was stopped finds the job moved away: the daemon waits for nobody.
                return self._lost()
            try:
                self._process = subprocess.Popen(
                    (*self.pulled["shim"][:-1], str(lock)),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env={},
                    pass_fds=(lock,),
                    # Ctrl-C is for this program, which then decides.
                    start_new_session=True,
                )
            finally:
                os.close(log)
        finally:
            os.close(lock)
        self._heartbeat()
        return True

    def _lost(self) -> bool:
        self.session.output.words(f"{self.pulled['attempt']}  its lease ran out before its agent was started")
        return False

    def stop(self) -> None:
        """Ask the shim to end its tree: the attempt is interrupted, and its task goes back on the queue."""
        self._is_stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Show the output until the shim has ended, and say now and then that somebody is there."""
        assert self._process is not None
        shower = threading.Thread(target=self._show, daemon=True)
        shower.start()
        pidfd = os.pidfd_open(self._process.pid)
        try:
            while not select.select([pidfd], [], [], self.pulled["lease_s"] / 3)[0]:
                self._heartbeat()
        finally:
            os.close(pidfd)
        code = self._process.wait()
        if code != 0 and not (Path(self.pulled["job"]) / "exit.json").exists():
            self._hand_back(f"its shim ended with status {code} before the agent ran")
        shower.join(LAST_OUTPUT_S)

    def _heartbeat(self) -> None:
        from ringmaster.protocol.attempt import AttemptHeartbeatParams

        params = AttemptHeartbeatParams(
            attempt_id=self.pulled["attempt"], token=self.pulled["token"], idempotency_key=self.session.new_key()
        )
        try:
            self.session.call("attempt.heartbeat", params)
        except RingmasterError:
            # The shim holds the attempt; the daemon looks for it when it starts, and judges what it finds.
            self.session.close()

    def _hand_back(self, words: str) -> None:
        from ringmaster.protocol.attempt import AttemptReportParams

        params = AttemptReportParams(
            attempt_id=self.pulled["attempt"],
            token=self.pulled["token"],
            status="interrupted",
            summary=words,
            idempotency_key=self.session.new_key(),
        )
        try:
            self.session.call("attempt.report", params)
        except RingmasterError as error:
            self.session.output.words(f"{self.pulled['attempt']}  {error.message}")

    def _show(self) -> None:
        """Follow the log over a connection of its own: what calls here must not wait for output."""
        from ringmaster.cli.logs import Printer, Reader

        session = Session(self.session.environ)
        session.instance, session.output = self.session.instance, self.session.output
        if session.output.is_quiet:
            return
        printer = Printer(session, is_raw=False)
        try:
            Reader(session, self.pulled["attempt"], "steps", printer).follow(None, None)
        except RingmasterError as error:
            session.output.words(f"{self.pulled['attempt']}  its output is not shown any more: {error.message}")
        finally:
            printer.finish()
            session.close()
