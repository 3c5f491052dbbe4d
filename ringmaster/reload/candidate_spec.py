"""What the program of a candidate's gate is told, and what it tells: two files in the candidate's directory."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Receipt

FORMAT = 1
SPEC = "candidate.json"
RECEIPTS = "receipts.jsonl"
STAGES = ("policy", "import", "gate", "behaviour", "boot")
"""In the order in which they run."""


class CandidateSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate. Paths are absolute; durations in seconds.

    root, digest, python: the candidate's release, its hash and the interpreter of its environment. running_root: the
    release that runs, whose migrations the database has. state, database: of the instance. config: its settings file.
    trees: the git directory in which the trees can be read, '' for a package; tree, running_tree: the candidate's and
    the running release's, '' where none is known.
    gate, setup, cache: of the self project. environment: of gate and set-up, from the allow-list. checkout: the fixed
    path at which they run. reused: why the gate need not run, in words.
    is_landed, has_agent, answered: see `policy.Facts`. accepted: stages whose question a person has
    answered with yes.
    test_pythons: interpreters that may have what the tests need. import_limit_s: for each module.
    boot_limit_s: until the daemon listens; answer_limit_s: for each of its answers, and for its end.
    stages: those that are run; a revert has to pass the gate alone.
    """

    generation: int
    root: str
    python: str
    running_root: str
    state: str
    database: str
    digest: str = ""
    config: str = ""
    trees: str = ""
    tree: str = ""
    running_tree: str = ""
    gate: str = ""
    setup: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    checkout: str = ""
    test_pythons: tuple[str, ...] = ()
    reused: str = ""
    is_landed: bool = False
    has_agent: bool = False
    answered: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    import_limit_s: float = 10.0
    setup_limit_s: float = 900.0
    gate_limit_s: float = 1800.0
    behaviour_limit_s: float = 900.0
    boot_limit_s: float = 30.0
    answer_limit_s: float = 15.0
    stages: tuple[str, ...] = STAGES
    format: int = FORMAT


def read_spec(directory: Path) -> CandidateSpec:
    """The spec in a candidate's directory. Raises RingmasterError for what is not understood, OSError."""
    path = directory / SPEC
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=CandidateSpec)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RingmasterError(ErrorKind.INTERNAL, f"{path} is not readable: {error}") from error
    if spec.format > FORMAT:
        raise RingmasterError(ErrorKind.PROTOCOL, f"{path} has format {spec.format}, this release reads up to {FORMAT}")
    return spec


def append_receipt(directory: Path, receipt: Receipt) -> None:
    """Add a line to the receipts, on the disk when this returns."""
    fd = os.open(directory / RECEIPTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(receipt) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_receipts(directory: Path) -> tuple[Receipt, ...]:
    """The receipts so far; a line that is not whole yet is left for later. Blocking."""
    try:
        content = (directory / RECEIPTS).read_bytes()
    except FileNotFoundError:
        return ()
    found = []
    for line in content.split(b"\n")[:-1]:
        try:
            found.append(msgspec.json.decode(line, type=Receipt))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Half a line that a full disk left: what follows it is another line.
            continue
    return tuple(found)
