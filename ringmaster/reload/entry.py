"""The command `ringmasterd` of an installed wheel: the same stub as in a checkout and in a release."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Execute the stub that lies inside of the package, by the Python that was called, with the same words."""
    stub = Path(__file__).resolve().parent.parent / "_bin" / "ringmasterd"
    os.execv(sys.executable, [sys.executable, "-I", os.fspath(stub), *sys.argv[1:]])
