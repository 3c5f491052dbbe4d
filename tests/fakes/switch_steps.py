"""The steps of a switch, written into a copy of the source: whoever comes to the one that a test names stops there.

Nothing of this is in the product. Which step, and what is done there, stands in a line of a file that is taken away by
it; the next line holds from then on.
"""

from __future__ import annotations

from pathlib import Path

PLACE = "stop-here"
"""The name of that file, in the state."""
STOP = """
def _stop_here(step):
    import os, sys
    state, path = {state!r}, {path!r}
    if sys.argv[1:2] != ["--boot"] or state not in sys.argv:
        # The candidate's gate imports and boots it too: nothing is meant for that.
        return
    try:
        with open(path) as file:
            first, _, rest = file.read().partition("\\n")
    except OSError:
        return
    wanted, what, word = (first.split(maxsplit=2) + ["", "", ""])[:3]
    if wanted != step:
        return
    if what == "crash":
        # At every start of that generation.
        if sys.argv[2] == word:
            raise RuntimeError("as told")
        return
    if rest:
        with open(path + ".rest", "w") as file:
            file.write(rest)
        os.replace(path + ".rest", path)
    else:
        os.unlink(path)
    if what == "die":
        os.kill(os.getpid(), 9)
    elif what == "fault":
        __import__("ctypes").string_at(0)
    elif what == "hold":
        # A signal would end the sleep.
        __import__("signal").pthread_sigmask(0, range(1, 32))
        __import__("ctypes").PyDLL(None).sleep(1000)
    elif what == "break":
        os.unlink(word)
        with open(word, "w"):
            pass
    else:
        # Until the test, which has the other end of the first, closes it.
        with open(path + ".go") as file:
            file.read()


"""
"""What is done at a step: the process dies, breaks a program, or waits for the test."""

# Where in the source the steps are: file, the line behind or before which it comes, the step.
BEFORE, BEHIND = "before", "behind"
PLACES = (
    ("ringmaster/daemon/exchange.py", BEFORE, "                server.quiesce()\n", "quiesce"),
    ("ringmaster/daemon/switching.py", BEFORE, "        write_record(state, wanted)\n", "record"),
    ("ringmaster/daemon/switching.py", BEHIND, "        write_record(state, wanted)\n", "exec"),
    ("bin/ringmasterd", BEHIND, '    state, generation = options["--in"], int(options["--boot"])\n', "stub"),
    ("bin/ringmasterd", BEFORE, '    handle = Boot(state, record[name], words, name == "trial"', "counted"),
    ("ringmaster/daemon/main.py", BEFORE, 'CHECK_VARIABLE = "RINGMASTER_BOOT_CHECK"\n', "imports"),
    ("ringmaster/daemon/app.py", BEFORE, "    handed: tuple[HandedConnection, ...] = ()\n", "untaken"),
    ("ringmaster/daemon/app.py", BEFORE, "    return handed\n", "taken"),
    (
        "ringmaster/reload/reloader.py",
        BEFORE,
        "        reason = await self._proving.run(handle, watch, self._tell)\n",
        "probation",
    ),
    ("ringmaster/reload/proving.py", BEFORE, "        await self._store.write_essential(rollout.settle_good", "noted"),
    ("ringmaster/reload/proving.py", BEHIND, "rollout.settle_good, handle.generation)\n", "settled"),
)
LATE_IMPORT = "from __future__ import annotations\n"


def steps_of_the_switch(root: Path, state: Path) -> dict[str, str]:
    """The files of a source tree with the steps in them, for the daemon of one state."""
    texts: dict[str, str] = {}
    for name, where, line, step in PLACES:
        text = texts.get(name) or (root / name).read_text()
        assert text.count(line) == 1, (name, line)
        indent = line[: len(line) - len(line.lstrip())] if where == BEFORE or step != "settled" else " " * 8
        call = f'{indent}_stop_here("{step}")\n'
        texts[name] = text.replace(line, call + line if where == BEFORE else line + call)
    function = STOP.format(state=str(state), path=str(state / PLACE))
    for name, text in texts.items():
        if name.startswith("bin/"):
            texts[name] = text.replace("def say(text):\n", f"{function}def say(text):\n")
        else:
            texts[name] = text.replace(LATE_IMPORT, f"{LATE_IMPORT}{function}", 1)
    return texts
