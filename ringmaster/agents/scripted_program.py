"""The scripted agent's program: reads a prompt on stdin, does the steps recorded in it, for real.

Run as `python -I -S scripted_program.py` in the workspace. It has no model and makes nothing up: the
steps are the last fenced block ```steps of the task, a JSON list of objects or one object a line.
Only what lies between the prompt's first `<ringmaster-task …>` line and its end counts as the task,
so output of earlier attempts or text of files, quoted further down, is never obeyed.

stdout carries one JSON line before each step (`step`), one after it where it has something to show
(`output`, with `code` for a command) or has changed a file (`change`), and at the end `result`.
Modules beyond the first few are imported by the step that needs them, because the time to the first
step is time in which nothing works.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Run by path and without site packages, so it finds the rest of itself; last, so that nothing
    # that lies beside `ringmaster` can stand in for the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from ringmaster.agents.recorded import misbehaviour, talk, work
from ringmaster.agents.recorded.reading import parse_answers, parse_steps, task_section
from ringmaster.agents.recorded.script import Ended, Script, StepFailed, StepObject, emit

TYPE_CHECKING = False  # the real one costs milliseconds of every start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

STEPS: dict[str, Callable[[Script, StepObject], None]] = {
    "read": work.do_read,
    "write": work.do_write,
    "edit": work.do_edit,
    "delete": work.do_delete,
    "touch_outside": work.do_touch_outside,
    "run": work.do_run,
    "git": work.do_git,
    "commit": work.do_commit,
    "say": talk.do_say,
    "env": talk.do_env,
    "ask": talk.do_ask,
    "report": talk.do_report,
    "wait_for": misbehaviour.do_wait_for,
    "fifo": misbehaviour.do_fifo,
    "sleep": misbehaviour.do_sleep,
    "hang": misbehaviour.do_hang,
    "ignore_term": misbehaviour.do_ignore_term,
    "exit": misbehaviour.do_exit,
    "crash": misbehaviour.do_crash,
    "flood": misbehaviour.do_flood,
    "binary": misbehaviour.do_binary,
    "fork": misbehaviour.do_fork,
}


def words_of(step: StepObject) -> str:
    """What a step is about, in one line."""
    for key in ("path", "shell", "message", "question", "text", "summary", "signal", "status"):
        if isinstance(step.get(key), str):
            return str(step[key])
    argv = step.get("argv") or step.get("names")
    return " ".join(map(str, argv)) if isinstance(argv, list) else ""


def run_step(script: Script, step: StepObject) -> None:
    """Do one step whose condition holds.

    Raises:
        StepFailed: it cannot be done, or has no known name.
    """
    name = step["do"]
    function = STEPS.get(name)
    if function is None:
        raise StepFailed(f"unknown step; there are {', '.join(STEPS)}")
    emit({"type": "step", "n": script.number, "do": name, "text": words_of(step)})
    try:
        function(script, step)
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise StepFailed(f"{type(error).__name__}: {error}") from error


def run_script(prompt: str, attempt: int) -> Ended:
    """Do all steps in order. How it ended, for the result line."""
    done = 0
    script = None
    try:
        section = task_section(prompt)
        script = Script(parse_steps(section), parse_answers(section), attempt)
        for number, step in enumerate(script.steps, 1):
            script.number = number
            if script.is_due(step):
                run_step(script, step)
                done += 1
    except StepFailed as error:
        at = f"step {script.number} ({script.steps[script.number - 1]['do']}): " if script and script.number else ""
        return Ended("failed", f"{at}{error}", code=1)
    except Ended as ended:
        return ended
    return Ended("succeeded", f"{done} steps done")


def main() -> NoReturn:
    """Read the prompt, run it, write the result line."""
    attempt = os.environ.get("RM_ATTEMPT_NUMBER", "1")
    ended = run_script(sys.stdin.buffer.read().decode("utf-8", "replace"), int(attempt) if attempt.isdigit() else 1)
    emit({"type": "result", **ended.result})
    os._exit(ended.code)


if __name__ == "__main__":
    main()
