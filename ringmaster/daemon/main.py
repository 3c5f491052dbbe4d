"""The program `ringmasterd`: arguments, log, exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import trio

from ringmaster import __version__
from ringmaster.daemon.app import run_daemon
from ringmaster.daemon.boot import Boot, open_boot
from ringmaster.daemon.check import check_instance
from ringmaster.model.errors import RingmasterError
from ringmaster.proc.instance import write_exit_status
from ringmaster.proc.reaper import become_subreaper
from ringmaster.settings import Paths, Settings, home_directory, load_settings, resolve_paths

log = logging.getLogger("ringmaster")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ringmasterd",
        description="The daemon. `rmctl daemon start` runs it with a keeper that starts it again after a crash.",
    )
    parser.add_argument("-s", "--state", metavar="NAME|PATH", help="which instance (default: default)")
    parser.add_argument("--check", action="store_true", help="look whether it could run, change nothing, and say so")
    parser.add_argument("--version", action="version", version=f"ringmasterd {__version__}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is stopped; its exit status.

    0: stopped on request. 1: it failed and should be started again. 2: it cannot run like this; one line says why.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parse(words)
    try:
        # A service manager may set none, and agents' logins, pip's and git's configuration are looked for in it.
        os.environ["HOME"] = str(home_directory(os.environ))
        paths = resolve_paths(options.state, os.environ)
        settings = load_settings(paths.config)
        if options.check:
            return check_instance(paths, settings)
        return _run(paths, settings, words)
    except RingmasterError as error:
        hint = f"; {error.hint}" if error.hint else ""
        print(f"ringmasterd: {error.message}{hint}", file=sys.stderr)
        return 2


def _run(paths: Paths, settings: Settings, words: list[str]) -> int:
    logging.basicConfig(
        level=settings.daemon.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # Children are other programs: what the daemon reads from its own files is nobody else's business.
    os.umask(0o077)
    with open_boot(paths, settings, os.environ, [*_program(), *words]) as boot:
        become_subreaper()
        if boot.keeper is None and boot.unit is None:
            log.info("no keeper: nobody starts this daemon again if it crashes (rmctl daemon start does)")
        code = _run_to_end(boot)
        # The keeper that adopted this daemon, not being its parent, reads the exit status here.
        write_exit_status(paths.state, code)
        return code


def _program() -> list[str]:
    """What was run: the stub or script, or with `python -m` the interpreter, since this file itself is no program."""
    named = os.path.abspath(sys.argv[0])
    return [sys.executable, "-P", "-m", "ringmaster.daemon.main"] if named == os.path.abspath(__file__) else [named]


def _run_to_end(boot: Boot) -> int:
    """Crash-only: whatever leaves `trio.run` is logged, and the keeper starts the daemon again.

    A refusal in words (a database of a newer version, a full disk at the start) ends it just the same:
    it may be over by the next start.
    """
    code = 0
    try:
        trio.run(run_daemon, boot)
    except* RingmasterError as group:
        code = 1
        for error in _refusals(group):
            # In words and without a traceback: it was foreseen.
            hint = f"; {error.hint}" if error.hint else ""
            log.error("%s%s", error.message, hint)  # noqa: TRY400 - the traceback would bury the words
    return code


def _refusals(group: BaseExceptionGroup[RingmasterError]) -> list[RingmasterError]:
    found: list[RingmasterError] = []
    for error in group.exceptions:
        found.extend(_refusals(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


if __name__ == "__main__":
    sys.exit(main())
