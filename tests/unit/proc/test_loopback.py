"""Whose process holds the other end of a connection on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ringmaster.proc.loopback import HolderState, LoopbackPeers, row_of

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:B8B5 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0
   1: 0100007F:ABF2 0100007F:B8B5 01 00000000:00000000 00:00000000 00000000  1000        0 12 2 0 20 0 0 10 -1
   2: 0100007F:B8B5 0100007F:ABF2 01 00000000:00000000 00:00000000 00000000  1001        0 13 1 0 20 0 0 10 -1
"""
TABLE_6 = "\n   0: 00000000000000000000000001000000:0050 00000000000000000000000001000000:ABF2 01 0:0 0:0 0  7  0 9 1\n"


def test_a_row_is_found_by_both_of_its_ends():
    server, client = ("127.0.0.1", 0xB8B5), ("127.0.0.1", 0xABF2)
    found = row_of(TABLE, client, server)
    assert found is not None
    assert (found.uid, found.inode) == (1000, 12)
    assert row_of(TABLE, server, client) == type(found)(uid=1001, inode=13)
    assert row_of(TABLE, client, ("127.0.0.2", 0xB8B5)) is None
    assert row_of(TABLE_6, ("::1", 80), ("::1", 0xABF2)) == type(found)(uid=7, inode=9)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_process_that_connected_is_found_however_often_it_comes(address: str):
    peers = LoopbackPeers()
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        place = server.getsockname()[:2]
        program = "import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2]))); s.recv(1)"
        argv = [sys.executable, "-I", "-S", "-c", program, place[0], str(place[1])]
        with subprocess.Popen(argv) as process:
            accepted, remote = server.accept()
            with accepted:
                for _ in range(2):
                    holder = peers.find(place, remote[:2])
                    assert (holder.state, holder.pid, holder.uid) == (HolderState.FOUND, process.pid, os.getuid())
                    assert holder.is_current
                accepted.send(b"x")
            process.wait(10)
            assert not holder.is_current


def test_who_has_gone_is_gone_and_who_cannot_be_seen_is_hidden(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        client = socket.create_connection(place)
        remote = client.getsockname()
        accepted, _ = server.accept()
        with accepted:
            # A table without processes, as hidepid shows it.
            (tmp_path / "net").mkdir()
            (tmp_path / "net" / "tcp").symlink_to("/proc/net/tcp")
            hidden = LoopbackPeers(tmp_path).find(place, remote)
            assert (hidden.state, hidden.uid) == (HolderState.HIDDEN, os.getuid())
            client.close()
            assert LoopbackPeers().find(place, remote).state is HolderState.GONE
            (tmp_path / "net" / "tcp").unlink()
            assert LoopbackPeers(tmp_path).find(place, remote).state is HolderState.UNKNOWN


def test_who_is_on_another_machine_is_elsewhere(tmp_path: Path):
    (tmp_path / "net").mkdir()
    ours = "\n   0: 0200A8C0:0050 0300A8C0:ABF2 01 0:0 0:0 0  7  0 9 1\n"
    (tmp_path / "net" / "tcp").write_text(ours)
    found = LoopbackPeers(tmp_path).find(("192.168.0.2", 80), ("192.168.0.3", 0xABF2))
    assert found.state is HolderState.ELSEWHERE
