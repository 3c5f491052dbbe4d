"""The token's file: nobody else's to read, and made anew where it might have been read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ringmaster.web.access import Secret, digest_of
from ringmaster.web.token import Last, ensure_token, read_last, write_last


def test_the_token_stays_and_is_the_owners_alone(tmp_path: Path):
    token = ensure_token(tmp_path)
    assert len(token) == 43
    assert stat.S_IMODE((tmp_path / "stream.token").stat().st_mode) == 0o600
    assert ensure_token(tmp_path) == token


@pytest.mark.parametrize("spoil", ["lost", "readable", "empty", "half", "link", "folder"])
def test_one_that_is_lost_or_may_be_known_is_made_anew(tmp_path: Path, spoil: str):
    token = ensure_token(tmp_path)
    path, elsewhere = tmp_path / "stream.token", tmp_path / "elsewhere"
    match spoil:
        case "lost":
            path.unlink()
        case "readable":
            path.chmod(0o640)
        case "empty":
            path.write_text("")
        case "half":
            path.write_text(token[:20])
        case "link":
            path.rename(elsewhere)
            path.symlink_to(elsewhere)
        case "folder":
            path.unlink()
            path.mkdir()
            with pytest.raises(OSError, match=r"stream\.token"):
                ensure_token(tmp_path)
            return
    fresh = ensure_token(tmp_path)
    assert fresh != token
    assert ensure_token(tmp_path) == fresh
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert not path.is_symlink()


def test_logins_are_forgotten_with_the_token_they_came_from_and_the_port_is_not(tmp_path: Path):
    last = Last(port=4711, token=digest_of("a"), logins=(Secret("d", 5.0),))
    write_last(tmp_path, last)
    assert read_last(tmp_path, "a") == last
    assert read_last(tmp_path, "b") == Last(port=4711)
    (tmp_path / "stream.last").write_text("{")
    assert read_last(tmp_path, "a") == Last()
