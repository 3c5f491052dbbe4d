"""Where an instance's socket is, without the settings: importing those takes as long as a third of a whole `rmctl`.

`ringmaster.settings.resolve_paths` has the rule; a test holds that this says the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

LONGEST = 107


def find_socket(name: str, environ: Mapping[str, str]) -> str | None:
    """The socket of the instance called `name`, empty for the default; None where only the rule itself can tell."""
    name = name or environ.get("RINGMASTER_STATE") or "default"
    if "/" in name:
        path = os.path.join(os.path.abspath(os.path.expanduser(name)), "ringmaster.sock")
    elif name.startswith(".") or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return None
    else:
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        if runtime.startswith("/") and os.path.isdir(runtime):
            path = os.path.join(runtime, "ringmaster", f"{name}.sock")
        else:
            home = environ.get("XDG_STATE_HOME", "")
            if not home.startswith("/"):
                home = os.path.join(environ.get("HOME", ""), ".local/state")
            path = os.path.join(home, "ringmaster", name, "ringmaster.sock")
    return path if path.startswith("/") and len(os.fsencode(path)) <= LONGEST else None
