"""The listener of the page: bound anew, or passed from one image to the next."""

from __future__ import annotations

import errno
import logging
import os
import socket

from ringmaster.model.stream_settings import StreamSettings

log = logging.getLogger("ringmaster.web")

BACKLOG = 1024
MARK = b"L"


def pack_listener(listener: socket.socket) -> int:
    """A descriptor in which another of the listener waits; the caller's to close, not inheritable.

    An image that knows nothing of the page closes what it is handed and does not know, but only where that is a Unix
    socket. So the listener is sent into one: it stays open, and takes clients, until that is read or closed.
    Raises OSError.
    """
    kept, used = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with used:
        try:
            socket.send_fds(used, [MARK], [listener.fileno()])
        except BaseException:
            kept.close()
            raise
    return kept.detach()


def unpack_listener(fd: int) -> socket.socket | None:
    """The listener in it, non-blocking and not inheritable; None, with a log line, where there is none. Closes `fd`."""
    try:
        with socket.socket(fileno=fd) as kept:
            kept.setblocking(False)
            _, fds, _, _ = socket.recv_fds(kept, len(MARK), 1)
    except OSError as error:
        log.warning("the page's listener did not come over: %s", error)
        return None
    if not fds:
        log.warning("the page's listener did not come over")
        return None
    os.set_inheritable(fds[0], False)
    listener = socket.socket(fileno=fds[0])
    listener.setblocking(False)
    return listener


def bind(settings: StreamSettings, last_port: int) -> socket.socket:
    """A listener where settings say; with port 0 on the port of last time, or a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    ports = [settings.port] if settings.port else [last_port, 0] if last_port else [0]
    for port in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            # What the daemon before answered last may linger, and holds no port against this one.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((settings.listen, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if port == ports[-1] or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return listener
    raise AssertionError("there is always a port to try")
