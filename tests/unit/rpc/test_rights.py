"""Who a peer is, as a table of process trees."""

from __future__ import annotations

import os

import pytest

from ringmaster.proc.identity import Ancestry, AncestryEnd, PeerCredentials, ProcessIdentity, own_identity
from ringmaster.rpc.rights import CallerKind, Identification, Right, decide_caller, is_own_uid


def make_process(pid: int, start_time: int = 0) -> ProcessIdentity:
    return ProcessIdentity(pid, start_time, "boot")


INIT, SHELL, KEEPER, DAEMON, SHIM, OLD_SHIM, AGENT, TOOL = (
    make_process(pid) for pid in (1, 10, 20, 30, 40, 45, 50, 60)
)
SHIMS = {SHIM: "rm-1/1", make_process(41): "rm-2/1"}
TOP, GONE, HIDDEN = AncestryEnd.TOP, AncestryEnd.GONE, AncestryEnd.HIDDEN
OPERATOR, ATTEMPT, NONE = CallerKind.OPERATOR, CallerKind.ATTEMPT, CallerKind.NONE


@pytest.mark.parametrize(
    ("chain", "end", "nonce", "kind", "attempt_id", "is_weakened"),
    [
        pytest.param([TOOL, SHELL, INIT], TOP, "", OPERATOR, "", False, id="a person's shell"),
        pytest.param([TOOL, AGENT, SHIM, DAEMON, KEEPER, INIT], TOP, "", ATTEMPT, "rm-1/1", False, id="an agent"),
        pytest.param([TOOL, SHIM, INIT], TOP, "", ATTEMPT, "rm-1/1", False, id="a shim that outlived its daemon"),
        pytest.param([SHIM, DAEMON, INIT], TOP, "", ATTEMPT, "rm-1/1", False, id="the shim itself"),
        pytest.param([TOOL, SHIM, SHELL, INIT], TOP, "", ATTEMPT, "rm-1/1", False, id="an attempt run by hand"),
        pytest.param([TOOL, SHELL, INIT], TOP, "rm-1/1", OPERATOR, "", False, id="a nonce that was only copied"),
        pytest.param([TOOL, OLD_SHIM, DAEMON, INIT], TOP, "", NONE, "", False, id="below the daemon, no live shim"),
        pytest.param([TOOL, KEEPER, INIT], TOP, "", NONE, "", False, id="below the keeper"),
        pytest.param([DAEMON, KEEPER, INIT], TOP, "", OPERATOR, "", False, id="the daemon itself"),
        pytest.param([KEEPER, INIT], TOP, "", NONE, "", False, id="the keeper itself"),
        pytest.param([TOOL, make_process(40, 7), INIT], TOP, "", OPERATOR, "", False, id="a shim's pid, reused"),
        pytest.param([], GONE, "", NONE, "", False, id="gone, or of another namespace"),
        pytest.param([], GONE, "rm-1/1", NONE, "", False, id="gone, with a nonce"),
        pytest.param([TOOL], HIDDEN, "", OPERATOR, "", True, id="hidden"),
        pytest.param([TOOL], HIDDEN, "rm-2/1", ATTEMPT, "rm-2/1", True, id="hidden, with a nonce"),
        pytest.param([TOOL, SHIM], HIDDEN, "rm-2/1", ATTEMPT, "rm-1/1", False, id="hidden above its shim"),
        pytest.param([TOOL, DAEMON], HIDDEN, "", NONE, "", False, id="hidden above the daemon"),
        pytest.param([make_process(1)], TOP, "", OPERATOR, "", False, id="pid 1"),
    ],
)
def test_a_peer_is_judged_by_its_ancestors(chain, end, nonce, kind, attempt_id, is_weakened):
    caller = decide_caller(
        Ancestry(tuple(chain), end), shims=SHIMS, daemon=DAEMON, keeper=KEEPER, nonce_attempt_id=nonce
    )
    assert (caller.kind, caller.attempt_id, caller.is_weakened) == (kind, attempt_id, is_weakened)
    assert caller.words


def test_without_a_keeper_nothing_passes_for_it():
    caller = decide_caller(Ancestry((TOOL, SHELL, INIT), TOP), shims={}, daemon=DAEMON, keeper=None)
    assert caller.kind is OPERATOR
    assert caller.rights == frozenset(Right)


def test_the_real_ancestry_of_this_process_is_asked_for_each_time():
    shims: dict[ProcessIdentity, str] = {}
    identification = Identification(
        shims=lambda: shims, daemon=None, keeper=lambda: None, attempt_of_nonce=lambda nonce: ""
    )
    me = PeerCredentials(os.getpid(), os.getuid(), os.getgid())
    assert identification.identify(me).kind is OPERATOR
    shims[own_identity()] = "rm-9/1"
    assert identification.identify(me).attempt_id == "rm-9/1"
    assert identification.identify(PeerCredentials(0, 0, 0)).kind is NONE


def test_the_nonce_is_looked_up_only_where_the_ancestry_is_hidden():
    def identify(end: AncestryEnd) -> str:
        return (
            Identification(
                shims=dict,
                daemon=None,
                keeper=lambda: None,
                attempt_of_nonce={"n": "rm-1/1"}.__getitem__,
                ancestry=lambda pid: Ancestry((TOOL,), end),
                nonce=lambda pid: "n",
            )
            .identify(PeerCredentials(60, 0, 0))
            .attempt_id
        )

    assert (identify(TOP), identify(HIDDEN)) == ("", "rm-1/1")


def test_only_the_own_user_and_root_may_speak():
    own = os.geteuid()
    assert is_own_uid(PeerCredentials(5, own, 0))
    assert is_own_uid(PeerCredentials(5, 0, 0))
    assert not is_own_uid(PeerCredentials(5, own + 12345, 0))
