"""Which values an attempt's output is redacted by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
