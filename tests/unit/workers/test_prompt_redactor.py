"""What a prompt is redacted by."""

from __future__ import annotations

from pathlib import Path

from ringmaster.model.project import ProjectConfig
from ringmaster.proc.job_files import JobSpec, write_spec
from ringmaster.redaction.redactor import REDACTED
from ringmaster.workers.agent_step import prompt_redactor


def test_it_knows_what_the_project_hands_over_and_what_jobs_were_handed(tmp_path: Path):
    directory = tmp_path / "state" / "attempts" / "t" / "1"
    job = directory / "setup"
    job.mkdir(parents=True)
    write_spec(
        job, JobSpec(argv=("x",), cwd="/", env={"A": "value-of-setup"}, nonce="nonce-of-it", secret_names=("A",))
    )
    environ = {
        "VENDOR": "value-of-vendor",
        "DB_1": "value-of-database",
        "MY_TOKEN": "value-by-name",
        "OTHER": "value-of-other",
        "PLACE_TOKEN": str(tmp_path),
    }
    config = ProjectConfig(agent_env=("VENDOR",), env=("DB_*",))
    shown = prompt_redactor(directory, config, environ).redact(
        f"value-of-setup value-of-vendor value-of-database value-by-name nonce-of-it value-of-other {tmp_path}"
    )
    assert shown == f"{' '.join([REDACTED] * 5)} value-of-other {tmp_path}"
