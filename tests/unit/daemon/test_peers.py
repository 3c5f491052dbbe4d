"""Over loopback an attempt is an attempt, whatever it has read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ringmaster.daemon.peers import Peers
from ringmaster.proc.identity import ProcessIdentity, read_identity
from ringmaster.proc.loopback import Holder, HolderState, LoopbackPeers
from ringmaster.rpc.rights import Caller, CallerKind, Identification

CHILD = "import socket,sys; s=socket.create_connection(('127.0.0.1',int(sys.argv[1]))); s.recv(1)"
PARENT = "import subprocess,sys; subprocess.run([sys.executable,'-I','-S','-c',*sys.argv[1:]])"


def identify_by(shims: dict[ProcessIdentity, str]) -> Identification:
    return Identification(shims=lambda: shims, daemon=None, keeper=lambda: None, attempt_of_nonce=lambda nonce: "")


@pytest.mark.parametrize("is_shim", [True, False])
async def test_who_runs_below_a_shim_has_its_attempts_rights_and_others_a_persons(is_shim: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        argv = [sys.executable, "-I", "-S", "-c", PARENT, CHILD, str(place[1])]
        with subprocess.Popen(argv, env=dict(os.environ, HOME="/")) as process:
            accepted, remote = server.accept()
            with accepted:
                shim = read_identity(process.pid)
                assert shim is not None
                peer = await Peers(identify_by({shim: "rm-1/1"} if is_shim else {})).identify(place, remote)
                assert isinstance(peer.caller, Caller)
                kind = CallerKind.ATTEMPT if is_shim else CallerKind.OPERATOR
                assert (peer.caller.kind, peer.is_person, peer.is_refused) == (kind, not is_shim, False)
                assert peer.caller.attempt_id == ("rm-1/1" if is_shim else "")
                accepted.send(b"x")
            process.wait(10)


class Scripted(LoopbackPeers):
    """Finds what a test says."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(Path("/nowhere"))
        self.holder = holder

    def find(self, local: tuple[str, int], remote: tuple[str, int]) -> Holder:
        return self.holder


@pytest.mark.parametrize(
    ("holder", "kind", "words"),
    [
        (Holder(HolderState.GONE), CallerKind.NONE, "its process is gone"),
        (Holder(HolderState.FOUND, os.getuid(), os.getpid(), "/proc/self/fd/none", 1), CallerKind.NONE, "is gone"),
        (Holder(HolderState.HIDDEN, os.getuid() + 1), CallerKind.NONE, "another user than uid"),
        (Holder(HolderState.HIDDEN, os.getuid()), CallerKind.OPERATOR, "cannot be seen by the daemon"),
        (Holder(HolderState.UNKNOWN), CallerKind.OPERATOR, "/proc does not say"),
        (Holder(HolderState.ELSEWHERE), CallerKind.OPERATOR, "not on this machine"),
    ],
)
async def test_who_is_not_found_is_refused_or_taken_for_a_person_and_that_is_told(
    holder: Holder, kind: CallerKind, words: str
):
    peers = Peers(identify_by({}), Scripted(holder))
    peer = await peers.identify(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert isinstance(peer.caller, Caller)
    assert (peer.caller.kind, peer.is_refused) == (kind, kind is CallerKind.NONE)
    assert words in peer.words
    is_weakened = kind is CallerKind.OPERATOR
    assert peer.caller.is_weakened == is_weakened
    assert bool(peers.unseen) == (holder.state in (HolderState.HIDDEN, HolderState.UNKNOWN) and is_weakened)
