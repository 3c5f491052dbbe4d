"""What an instance holds: its lock, and a socket that only its owner may use."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ringmaster.proc.instance import Held, claim_instance


def test_only_the_owner_may_connect_and_the_umask_is_put_back(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        claim = claim_instance(tmp_path / "state", tmp_path / "s", "daemon")
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
    os.close(claim.lock_fd)
    os.close(claim.listener_fd)


def test_a_second_claim_names_the_holder_and_leaves_its_socket(tmp_path: Path) -> None:
    claim = claim_instance(tmp_path / "state", tmp_path / "s", "daemon")
    with pytest.raises(Held, match=f"is held by daemon {os.getpid()}"):
        claim_instance(tmp_path / "state", tmp_path / "s", "keeper")
    assert (tmp_path / "s").is_socket()
    os.close(claim.lock_fd)
    os.close(claim.listener_fd)


def test_a_deleted_lock_file_lets_nobody_else_in_while_its_holder_lives(tmp_path: Path) -> None:
    state, path = tmp_path / "state", tmp_path / "s"
    claim = claim_instance(state, path, "daemon")
    (state / "lock").unlink()
    path.unlink()
    for _ in range(2):
        with pytest.raises(Held, match=f"is held by process {os.getpid()}, whose lock file was deleted"):
            claim_instance(state, path, "keeper")
    assert not path.exists()
    os.close(claim.lock_fd)
    os.close(claim.listener_fd)
    for fd in claim_instance(state, path, "keeper"):
        os.close(fd)
