"""Steps that do the work: files, commands, commits."""

from __future__ import annotations

import os

from ringmaster.agents.recorded.script import OUTPUT_LIMIT, Script, StepFailed, StepObject, note_change, show, text_of

TRAILER = "Agent: scripted (recorded steps, no model)"


def do_read(script: Script, step: StepObject) -> None:
    with open(script.path(step), encoding="utf-8", errors="replace") as file:
        show(script, file.read())


def do_write(script: Script, step: StepObject) -> None:
    path = script.path(step)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    change = "update" if os.path.exists(path) else "add"
    with open(path, "a" if step.get("append") else "w", encoding="utf-8") as file:
        file.write(text_of(step, "text"))
    if "mode" in step:
        os.chmod(path, int(str(step["mode"]), 8))
    note_change(script, path, change)


def do_edit(script: Script, step: StepObject) -> None:
    """Replace a text that must occur exactly once. Made before (an attempt that is run again): fine."""
    path, old, new = script.path(step), text_of(step, "old"), text_of(step, "new")
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    if new and new in text and (old not in text or old in new):
        show(script, "already so")
        return
    if text.count(old) != 1 or not old:
        raise StepFailed(f"the text to replace is there {text.count(old) if old else 0} times, not once")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text.replace(old, new))
    note_change(script, path, "update")


def do_delete(script: Script, step: StepObject) -> None:
    path = script.path(step)
    if os.path.isdir(path):
        import shutil

        shutil.rmtree(path)
    else:
        os.unlink(path)
    note_change(script, path, "delete")


def do_touch_outside(script: Script, step: StepObject) -> None:
    """Append to a file anywhere: the misbehaviour that the daemon has to notice."""
    path = text_of(step, "path")
    change = "update" if os.path.exists(path) else "add"
    with open(path, "a", encoding="utf-8") as file:
        file.write(text_of(step, "text", "touched\n"))
    note_change(script, path, change)


def run_program(script: Script, argv: list[str], expect: int | None) -> None:
    """Run to its end, show the end of its output. The output goes through a file, not a pipe: a
    grandchild that lives on would hold a pipe open and the step would never end."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        except OSError as error:
            raise StepFailed(f"cannot run {argv[0]}: {error.strerror}") from error
        output.seek(max(0, output.seek(0, os.SEEK_END) - 4 * OUTPUT_LIMIT))
        show(script, output.read().decode("utf-8", "replace"), code=code)
    if expect is not None and code != expect:
        raise StepFailed(f"exited with {code}, not {expect}")


def do_run(script: Script, step: StepObject) -> None:
    argv = ["/bin/sh", "-c", step["shell"]] if "shell" in step else [str(word) for word in step.get("argv", ())]
    if not argv:
        raise StepFailed("needs 'argv' or 'shell'")
    run_program(script, argv, step.get("expect", 0))


def do_git(script: Script, step: StepObject) -> None:
    run_program(script, ["git", *(str(word) for word in step.get("argv", ()))], step.get("expect", 0))


def do_commit(script: Script, step: StepObject) -> None:
    """Commit everything; nothing to commit is fine, for a run that is made again."""
    import subprocess

    message = text_of(step, "message")
    if subprocess.call(["git", "add", "--all"], stdin=subprocess.DEVNULL, stdout=2) != 0:
        raise StepFailed("git add failed; its words are on stderr")
    if subprocess.call(["git", "diff", "--cached", "--quiet"], stdin=subprocess.DEVNULL) == 0:
        show(script, "nothing to commit")
        return
    who = ["-c", "user.name=scripted agent", "-c", "user.email=scripted@ringmaster.invalid"]
    commit = ["commit", "--quiet", "--no-gpg-sign", "--trailer", TRAILER, "-m", message]
    run_program(script, ["git", *who, *commit], 0)
