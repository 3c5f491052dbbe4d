"""The keeper: holds an instance's lock and listener and keeps its daemon running.

    python -I -S keeper.py STATE_DIR --socket PATH -- DAEMON ARGV...
    python -I -S keeper.py STATE_DIR --socket PATH --adopt PID:START_TIME --lock-fd N --listener-fd N -- DAEMON ARGV...

The first starts an instance. The program goes into the background by itself; what was run ends after one line on
standard output:

    exit 0    `ready pid=PID start_time=T`: it listens, so a client can connect at once
    exit 75   `held by ROLE PID`: someone has the lock on STATE_DIR; for `daemon start` as good as ready
    exit 2    `error: ...`: wrong arguments, a socket path that is too long, a path that is taken

The second is run by a daemon whose keeper has died; the two descriptors are the daemon's own, inherited.

DAEMON ARGV is run as it stands (absolute paths), in a session of its own, standard output and error appended to
STATE_DIR/daemon.log, with RINGMASTER_LOCK_FD, RINGMASTER_LISTENER_FD and RINGMASTER_KEEPER=PID:START_TIME in its
environment. When it exits with 0 the keeper removes the socket and ends. Any other end starts it again
with back-off: 0.1 s, doubled up to 30 s, anew after a life of 60 s. RINGMASTER_DEATHS and RINGMASTER_LAST_EXIT then say
how many early deaths there were and how the last one ended (a signal is negative), and where STATE_DIR has a boot
record it is, every other time, the stub of the good release that is run, with DAEMON ARGV from its `-s` on.

SIGTERM or SIGINT to the keeper: SIGTERM to the daemon, wait, end. SIGHUP is passed on.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Last, so that nothing that lies beside the package can stand in for the standard library.
    sys.path.append(__file__.rsplit("/", 3)[0])
    from ringmaster.proc.keeper_run import main

    sys.exit(main(sys.argv[1:]))
