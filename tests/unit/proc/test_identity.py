"""Who a process is and where it comes from."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator

import msgspec
import pytest

from ringmaster.proc import identity
from ringmaster.proc.identity import (
    Ancestry,
    AncestryEnd,
    ancestry,
    is_alive,
    own_identity,
    peer_credentials,
    read_identity,
    read_nonce,
)
from ringmaster.proc.shim_procfs import Stat, read_stat


@contextlib.contextmanager
def open_child(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is past its exec, and ends with the block."""
    with subprocess.Popen(
        ["sh", "-c", "echo; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        yield child
        child.stdin.close()


def make_stat(pid: int, parent: int = 1, *, session: int = 1, group: int = 0, state: bytes = b"S") -> Stat:
    """A reading of /proc with start time 10 × pid."""
    fields = [state, parent, group or session, session, *[0] * 13, 1, 0, pid * 10]
    return Stat(pid, [field if isinstance(field, bytes) else str(field).encode() for field in fields])


def test_a_zombie_is_known_but_not_alive():
    with open_child({}) as child:
        living = read_identity(child.pid)
        assert living is not None
        assert is_alive(living)
        assert not is_alive(msgspec.structs.replace(living, start_time=living.start_time + 1))
        assert not is_alive(msgspec.structs.replace(living, boot_id="another"))
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert read_identity(child.pid) == living
        assert not is_alive(living)
        assert ancestry(child.pid).end is AncestryEnd.GONE
    assert read_identity(child.pid) is None


def test_a_name_with_parentheses_and_spaces_is_read(tmp_path):
    program = tmp_path / "a) (b 1 2"
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(0o755)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as child:
        stat = read_stat(child.pid)
        assert stat is not None
        assert (stat.parent, stat.session) == (os.getpid(), os.getsid(0))


def test_ancestry_leads_from_a_grandchild_through_its_parents_to_the_top():
    script = "sh -c 'echo $$; read line' ; :"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        grandchild = int(child.stdout.readline())
        found = ancestry(grandchild)
        assert [link.pid for link in found.chain[:4]] == [grandchild, child.pid, os.getpid(), os.getppid()]
        assert found.chain[2] == own_identity()
        assert found.end is AncestryEnd.TOP
        child.stdin.close()
    assert ancestry(grandchild) == ancestry(0) == Ancestry((), AncestryEnd.GONE)


def tell_stats(monkeypatch, answers: dict[int, list[Stat | None]]) -> None:
    """Let /proc give for each pid one answer after the other, the last one for ever."""
    monkeypatch.setattr(
        identity, "read_stat", lambda pid: answers[pid].pop(0) if len(answers[pid]) > 1 else answers[pid][0]
    )


def test_a_parent_that_was_replaced_while_walking_is_noticed(monkeypatch):
    # 30 loses its parent 20 to init between two readings; pid 20 is then somebody else.
    stranger = make_stat(20, 7)
    tell_stats(
        monkeypatch,
        {30: [make_stat(30, 20), make_stat(30, 1)], 20: [stranger], 7: [make_stat(7, 1)], 1: [make_stat(1, 0)]},
    )
    assert [link.pid for link in ancestry(30).chain] == [30, 1]


def test_a_chain_that_never_holds_still_grants_nothing(monkeypatch):
    flicker = [make_stat(30, 20), make_stat(30, 1)] * 20
    tell_stats(monkeypatch, {30: list(flicker), 20: [make_stat(20, 1)], 1: [make_stat(1, 0), make_stat(1, 0)]})
    monkeypatch.setattr(identity, "_is_unchanged", lambda stat: False)
    assert ancestry(30) == Ancestry((), AncestryEnd.GONE)


def test_a_hidden_parent_is_told_apart_from_the_top(monkeypatch):
    tell_stats(monkeypatch, {30: [make_stat(30, 20)], 20: [None]})
    found = ancestry(30)
    assert ([link.pid for link in found.chain], found.end) == ([30], AncestryEnd.HIDDEN)


def test_the_peer_of_a_socket_is_named_by_the_kernel():
    here, there = socket.socketpair()
    with here, there:
        peer = peer_credentials(here)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())


@pytest.mark.parametrize(("environment", "nonce"), [({"RM_NONCE": "abc"}, "abc"), ({"XRM_NONCE": "abc"}, None)])
def test_a_nonce_is_read_from_the_environment(environment, nonce):
    with open_child(environment) as child:
        assert read_nonce(child.pid) == nonce
    assert read_nonce(child.pid) is None
