"""A stop that somebody asks a hanging trial for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.stub_world import SERVES, open_stub_world


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_stop_that_a_hanging_trial_could_not_follow_waits_for_the_good_one(tmp_path: Path, is_asked: bool) -> None:
    asks = "boot.note_stop()" if is_asked else "pass"
    hanging = f"import threading\ndef main(argv, boot):\n  {asks}\n  threading.Event().wait()\n"
    good = f"""{SERVES}
def main(argv, boot):
    boot.generation = [number.name for number in signal.sigpending()]
    return serve(argv, boot)
"""
    with open_stub_world(tmp_path / "s") as world:
        world.claim()
        world.write(good, trial=hanging)
        world.run(world.trial_argv())
        assert world.ask()["generation"] == (["SIGTERM"] if is_asked else [])
