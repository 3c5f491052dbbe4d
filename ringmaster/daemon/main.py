"""The program `ringmasterd`: arguments, log, the images that follow one another in this process, exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import msgspec
import trio

from ringmaster import __version__
from ringmaster.daemon.app import run_daemon
from ringmaster.daemon.boot import Boot, open_boot
from ringmaster.daemon.check import check_instance
from ringmaster.daemon.handoff import Document, read_document, settings_of
from ringmaster.daemon.logging_format import ShownFormatter
from ringmaster.daemon.switching import Switch, enter_release, execute
from ringmaster.model.errors import RingmasterError
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.proc.instance import write_exit_status
from ringmaster.proc.reaper import become_subreaper, reap_dead_children
from ringmaster.reload.boot_contract import BootHandle
from ringmaster.settings import Paths, Settings, home_directory, load_settings, resolve_paths

log = logging.getLogger("ringmaster")

CHECK_VARIABLE = "RINGMASTER_BOOT_CHECK"
"""Set for a candidate that is booted on a copy of the database: it runs in place and watches nothing."""


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ringmasterd",
        description="The daemon. `rmctl daemon start` runs it with a keeper that starts it again after a crash.",
    )
    parser.add_argument("-s", "--state", metavar="NAME|PATH", help="which instance (default: default)")
    parser.add_argument("--check", action="store_true", help="look whether it could run, change nothing, and say so")
    parser.add_argument(
        "--in-place", action="store_true", help="run this very package, not a release of it; it is never replaced"
    )
    parser.add_argument("--version", action="version", version=f"ringmasterd {__version__}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, handle: BootHandle | None = None) -> int:
    """Run the daemon until it is stopped; its exit status.

    handle: the stub's, when it boots a release. Without one a release is made of this package and executed in this
    process, so that what runs is never the tree that people and agents edit.

    0: stopped on request. 1: it failed and should be started again. 2: it cannot run like this; one line says why.
    Raises SystemExit with that line, or with what it failed of, when it is on trial.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parse(words)
    try:
        # A service manager may set none, and agents' logins, pip's and git's configuration are looked for in it.
        os.environ["HOME"] = str(home_directory(os.environ))
        paths = resolve_paths(options.state, os.environ)
        if options.check:
            return check_instance(paths, load_settings(paths.config))
        document = _document(handle)
        settings = _settings(paths, document)
        if is_checked := bool(os.environ.pop(CHECK_VARIABLE, "")):
            # Nor does it tell people of questions that they know of.
            told_by_nobody = msgspec.structs.replace(settings.daemon, on_decision=())
            # The port is the instance's own, and its names too.
            settings = msgspec.structs.replace(settings, daemon=told_by_nobody, stream=StreamSettings())
            handle = None
        return _run(paths, settings, words, handle, document, options.in_place or is_checked)
    except RingmasterError as error:
        hint = f"; {error.hint}" if error.hint else ""
        if handle is not None and handle.is_trial:
            # The stub says it, and notes it as the reason.
            sys.exit(f"{error.message}{hint}")
        print(f"ringmasterd: {error.message}{hint}", file=sys.stderr)
        return 2


def _document(handle: BootHandle | None) -> Document | None:
    """What the image before left. A trial that cannot read it fails, and a good release goes on without the clients."""
    if handle is None or handle.handoff_fd < 0:
        return None
    try:
        return read_document(handle.handoff_fd)
    except RingmasterError as error:
        if handle.is_trial:
            raise
        handle.take_handoff()
        print(f"ringmasterd: {error.message}; the clients are hung up on", file=sys.stderr)
        return None


def _settings(paths: Paths, document: Document | None) -> Settings:
    """The settings file's; where that is broken, what the image before ran with. Raises RingmasterError."""
    try:
        return load_settings(paths.config)
    except RingmasterError:
        last_known_good = None if document is None else settings_of(document)
        if last_known_good is None:
            raise
        return last_known_good


def _run(
    paths: Paths,
    settings: Settings,
    words: list[str],
    handle: BootHandle | None,
    document: Document | None,
    is_in_place: bool,
) -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ShownFormatter())
    logging.basicConfig(level=settings.daemon.log_level.upper(), handlers=[handler])
    # Children are other programs: what the daemon reads from its own files is nobody else's business.
    os.umask(0o077)
    # Before anything is started: dead children of the image before have nobody else who takes them.
    reap_dead_children()
    with open_boot(paths, settings, os.environ, _program(), words, handle=handle, document=document) as boot:
        if handle is None and not is_in_place:
            enter_release(boot)
        become_subreaper()
        boot.signals.install()
        if boot.keeper is None and boot.unit is None and document is None:
            log.info("no keeper: nobody starts this daemon again if it crashes (rmctl daemon start does)")
        failed = _run_images(boot)
        code = int(bool(failed))
        if failed and boot.is_trial:
            # What comes from now on is for the good release, which has no handlers yet.
            boot.signals.hold()
            if not boot.signals.is_stop_noted:
                # The stub executes it in this very process, and takes listener and lock along.
                sys.exit(failed)
            code = 0
        # The keeper that adopted this daemon, not being its parent, reads the exit status here.
        write_exit_status(paths.state, code)
        return code


def _program() -> list[str]:
    """What was run: the stub or script, or with `python -m` the interpreter, since this file itself is no program."""
    named = os.path.abspath(sys.argv[0])
    return [sys.executable, "-P", "-m", "ringmaster.daemon.main"] if named == os.path.abspath(__file__) else [named]


def _run_images(boot: Boot) -> str:
    """Run this image, and execute the next in its place when one is due; why the last failed, '' for a stop.

    Where an image cannot be executed this one goes on, with the connections that it was about to hand over.
    """
    while True:
        ending = _run_to_end(boot)
        if isinstance(ending, str):
            return ending
        boot.signals.hold()
        if boot.signals.is_stop_noted:
            return ""
        refused = execute(boot, ending)
        log.error("generation %d cannot be executed, the old one goes on: %s", ending.image.generation, refused)
        boot = ending.take_up(boot, refused)


def _run_to_end(boot: Boot) -> str | Switch:
    """Crash-only: whatever leaves `trio.run` is logged, and the keeper starts the daemon again.

    A refusal in words (a database of a newer version, a full disk at the start) ends it just the same:
    it may be over by the next start. It is returned; '' is a stop.
    """
    ending: str | Switch = ""
    try:
        ending = trio.run(run_daemon, boot) or ""
    except* RingmasterError as group:
        refusals = _refusals(group)
        ending = "; ".join(error.message for error in refusals) or "it was refused"
        for error in refusals:
            # In words and without a traceback: it was foreseen.
            hint = f"; {error.hint}" if error.hint else ""
            log.error("%s%s", error.message, hint)  # noqa: TRY400 - the traceback would bury the words
    return ending


def _refusals(group: BaseExceptionGroup[RingmasterError]) -> list[RingmasterError]:
    found: list[RingmasterError] = []
    for error in group.exceptions:
        found.extend(_refusals(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


if __name__ == "__main__":
    sys.exit(main())
