"""What is kept of a gate run's words and names."""

from __future__ import annotations

from pathlib import Path

from ringmaster.proc.job_files import FORMAT, ExitReason, JobExit, JobSpec, write_spec
from ringmaster.redaction.redactor import REDACTED
from ringmaster.workers.gate import judge_run


def test_neither_a_key_nor_what_the_gate_was_handed_is_in_them(tmp_path: Path):
    directory = tmp_path / "state" / "attempts" / "t" / "1" / "gate-1"
    directory.mkdir(parents=True)
    spec = JobSpec(argv=("x",), cwd="/", env={"A": "value-of-gate"}, nonce="nonce-of-it", secret_names=("A",))
    write_spec(directory, spec)
    key = "gh" + "p_" + "A1b2" * 9
    (directory / "junit.xml").write_text(
        "<testsuites><testsuite>"
        f'<testcase classname="a" name="t[{key}]"><failure/></testcase>'
        '<testcase classname="a" name="t[value-of-gate]"><failure/></testcase>'
        '<testcase classname="a" name="t"/>'
        "</testsuite></testsuites>"
    )
    run = judge_run(JobExit(format=FORMAT, reason=ExitReason.EXITED, code=1), directory)
    assert run.failed == (f"a::t[{REDACTED}]", f"a::t[{REDACTED}]")
    assert run.words == f"the gate ended with exit status 1, 2 failed: a::t[{REDACTED}], a::t[{REDACTED}]"
    # They are told apart by what the report says.
    assert run.report is not None
    assert len(run.report.tests) == 3
