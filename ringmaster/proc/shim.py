"""The shim: parent and subreaper of one child. Run by path: `python -I -S shim.py JOB_DIR LOCK_FD`.

JOB_DIR holds a `spec.json` and the shim writes the rest of the job's files there (docs/architecture.md,
"Processes"). LOCK_FD is the number of an inherited descriptor that holds the flock on JOB_DIR/lock;
`-` makes the shim take the lock itself (for a job that a person starts by hand) and exit with 75
where it is held. SIGTERM cancels the job; a file `cancel.json` {"format": 1, "grace_s": N} written
before it replaces the spec's grace. The exit code is 0 when `exit.json` was written.

A program that is run by path is compiled anew at each start, so this one is small and the code is
in a module that has a cached form.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    root = __file__.rsplit("/", 3)[0]
    # Last, so that nothing that lies beside the package can stand in for the standard library.
    sys.path.append(root)
    from ringmaster.proc.shim_run import main

    sys.exit(main(sys.argv))
