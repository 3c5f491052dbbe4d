"""What passes its gate and fails on trial: the old code comes back by itself, in the same process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.own_source import OwnSource
from tests.fakes.unharmed import Unharmed, open_unharmed_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

APP, HANDLERS = "ringmaster/daemon/app.py", "ringmaster/rpc/handlers/daemon.py"
BEGUN = "        nursery.start_soon(run_reaper)\n"
# On trial alone: the boot check would find it otherwise.
ON_TRIAL = f"{BEGUN}        if boot.is_trial:\n            nursery.start_soon(_fall)\n"
HEALTH = "def health("
INIT = "ringmaster/__init__.py"


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unharmed]:
    with open_unharmed_source(tmp_path_factory.mktemp("own"), probation_s=2.0) as made:
        yield made


@pytest.fixture(scope="module")
def own(unharmed: Unharmed) -> OwnSource:
    return unharmed.own


def falling(unharmed: Unharmed, how: str) -> dict[str, str | None]:
    """The daemon with a trio task that does this while it is on trial."""
    text = unharmed.original(APP)
    assert BEGUN in text
    return {APP: text.replace(BEGUN, ON_TRIAL) + f"\n\nasync def _fall() -> None:\n    {how}\n"}


def test_a_crash_a_second_after_the_start_goes_back(unharmed: Unharmed) -> None:
    event = unharmed.take(falling(unharmed, "await trio.sleep(1)\n    raise ValueError('it fell')"))
    unharmed.reconnect()
    unharmed.assert_bad(event, "ValueError: it fell", serves=1)


def test_what_refuses_in_words_is_bad_with_these(unharmed: Unharmed) -> None:
    refusing = "from ringmaster.model.errors import ErrorKind, RingmasterError"
    refusing += "\n    raise RingmasterError(ErrorKind.INTERNAL, 'the well is dry', 'dig')"
    event = unharmed.take(falling(unharmed, refusing))
    unharmed.reconnect()
    unharmed.assert_bad(event, "the well is dry", serves=1)
    assert event["data"]["reason"] == "the well is dry"


def test_a_loop_that_stands_still_is_ended_by_the_guard(unharmed: Unharmed, own: OwnSource) -> None:
    own.configure(guard_s=1.0)
    event = unharmed.take(falling(unharmed, "__import__('time').sleep(1000)"))
    unharmed.reconnect()
    unharmed.assert_bad(event, "it gave no sign of life for 1 s", serves=1)
    own.configure(guard_s=10.0)


def test_answers_that_take_300_ms_longer_are_a_breach(unharmed: Unharmed) -> None:
    text = unharmed.original(HANDLERS)
    at = text.index(HEALTH)
    body = text.index('"""\n', at) + len('"""\n')
    slow = f"{text[:at]}async {text[at:body]}    await trio.sleep(0.3)\n{text[body:]}"
    event = unharmed.take({HANDLERS: slow})
    unharmed.assert_bad(event, "a call to itself takes ", serves=1)


def test_settings_that_break_before_a_switch_hold_as_they_were(unharmed: Unharmed, own: OwnSource) -> None:
    own.configure(probation_s=0.1)
    config = own.daemon.state / "config.toml"
    before, after = config.read_text(), own.cursor
    config.write_text("[self]\nprobation_s = 'long'\n")
    event = unharmed.take(unharmed.append(INIT, "# newer\n"))
    assert event["type"] == "generation.good", event
    unharmed.assert_serves(event["data"]["generation"])
    # The new image has said so too, and reads what is mended.
    newest = event["data"]["generation"]
    tried = own.daemon.wait_for(
        lambda seen: seen["type"] == "generation.tried" and seen["data"]["generation"] == newest, after
    )
    own.daemon.wait_for(lambda seen: seen["type"] == "settings.refused", tried["seq"])
    config.write_text(before)
    own.daemon.wait_for(lambda seen: seen["type"] == "settings.reloaded", tried["seq"])


def test_a_stop_that_a_loop_that_stands_still_never_hears_of_is_carried_out_by_the_old_code(
    unharmed: Unharmed, own: OwnSource, tmp_path: Path
) -> None:
    own.configure(guard_s=1.0, probation_s=5.0)
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    hanging = f"await trio.sleep(0.5)\n    open({str(sign)!r}, 'w').close()\n    __import__('time').sleep(1000)"
    serves, after = own.generation, own.cursor
    unharmed.commit(falling(unharmed, hanging))
    sign.read_text()
    assert own.daemon.stop(signal.SIGTERM) == 0
    own.daemon.start()
    event = own.wait_settled(after)
    assert (event["type"], event["data"]["reason"]) == ("generation.bad", "it gave no sign of life for 1 s")
    assert own.generation == serves
