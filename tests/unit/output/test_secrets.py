"""Which values an attempt's output is redacted by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringmaster.agents.base import AgentEnd
from ringmaster.agents.registry import BUILT_IN
from ringmaster.output.files import read_tail
from ringmaster.output.reports import read_shown_report
from ringmaster.output.secrets import TOKEN_FILE, find_redactor
from ringmaster.proc.job_files import JobSpec, write_spec
from ringmaster.redaction.redactor import REDACTED


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    directory = tmp_path / "state" / "attempts" / "t" / "1"
    directory.mkdir(parents=True)
    return directory


def put_job(attempt: Path, name: str, env: dict[str, str], *secret_names: str) -> Path:
    (attempt / name).mkdir()
    spec = JobSpec(argv=("x",), cwd="/", env=env, nonce=f"nonce-of-{name}", secret_names=secret_names)
    write_spec(attempt / name, spec)
    return attempt / name / "spec.json"


def test_the_secrets_of_every_job_count_and_nothing_else_of_its_environment(attempt: Path):
    put_job(attempt, "agent", {"KEY": "value-of-key", "OTHER": "value-of-other"}, "KEY", "GONE")
    put_job(attempt, "gate-1", {"DB": "value-of-db"}, "DB")
    text = "value-of-key value-of-db nonce-of-agent nonce-of-gate-1 value-of-other"
    assert find_redactor(attempt).redact(text) == f"{REDACTED} {REDACTED} {REDACTED} {REDACTED} value-of-other"


def test_the_token_of_the_port_and_further_values_count(attempt: Path):
    (attempt.parents[2] / TOKEN_FILE).write_text("token-of-the-port\n")
    assert find_redactor(attempt, ["a login of somebody"]).redact("token-of-the-port a login of somebody") == (
        f"{REDACTED} {REDACTED}"
    )


def test_a_spec_of_an_earlier_release_or_one_that_is_none_adds_what_it_can(attempt: Path):
    old = put_job(attempt, "agent", {"KEY": "value-of-key"}, "KEY")
    before = {name: value for name, value in json.loads(old.read_bytes()).items() if name != "secret_names"}
    old.write_text(json.dumps(before))
    put_job(attempt, "gate-1", {}).write_bytes(b"{broken")
    put_job(attempt, "gate-2", {}).write_text(json.dumps({**before, "format": 99}))
    assert find_redactor(attempt).redact("nonce-of-agent value-of-key") == f"{REDACTED} value-of-key"


def test_an_attempt_that_is_gone_has_no_secrets_of_its_own(tmp_path: Path):
    assert find_redactor(tmp_path / "state" / "attempts" / "t" / "9").redact("words") == "words"


def test_the_tail_of_an_output_shows_no_key_that_its_beginning_cuts_in_two(attempt: Path):
    put_job(attempt, "gate-1", {"DB": "value-of-db"}, "DB")
    key = "gh" + "p_" + "A1b2" * 9
    path = attempt / "gate-1" / "stdout"
    path.write_text(f"x {key} \x1b[31mred\x1b[0m value-of-db\n")
    assert read_tail(path, 40) == f" red {REDACTED}\n"
    assert read_tail(path.with_name("stderr"), 40) == ""


def test_what_an_agent_says_of_its_work_is_kept_without_secrets(attempt: Path):
    place = put_job(attempt, "agent", {"KEY": "value-of-key"}, "KEY").parent
    said: dict[str, object] = {"type": "result", "status": "needs_decision", "summary": "by value-of-key"}
    said |= {"question": "value-of-key?", "detail": "\x1b[1mvalue-of-key", "options": ["value-of-key", "no"]}
    (place / "stdout").write_text(json.dumps(said) + "\n")
    report = read_shown_report(BUILT_IN["command"], AgentEnd(reason="exited", code=0), place, "")
    assert (report.summary, report.question, report.detail) == (f"by {REDACTED}", f"{REDACTED}?", REDACTED)
    assert report.options == (REDACTED, "no")
    assert "value-of-key" not in report.last_words


def test_what_earlier_attempts_of_the_task_were_handed_counts_but_for_what_was_good_for_them_alone(attempt: Path):
    for number, key in (("1", "first-key-of-all"), ("2", "second-key-of-all"), ("4", "a-later-key-of-all")):
        other = attempt.with_name(number)
        other.mkdir(exist_ok=True)
        put_job(other, "agent", {"KEY": key, "RM_TOKEN": f"token-of-{number}-alone"}, "KEY", "RM_TOKEN")
    third = attempt.with_name("3")
    third.mkdir()
    put_job(third, "agent", {"KEY": "third-key-of-all", "RM_TOKEN": "token-of-3-alone"}, "KEY", "RM_TOKEN")
    text = "first-key-of-all second-key-of-all third-key-of-all token-of-3-alone"
    assert find_redactor(third).redact(text) == " ".join([REDACTED] * 4)
    assert find_redactor(third).redact("a-later-key-of-all token-of-1-alone") == "a-later-key-of-all token-of-1-alone"
