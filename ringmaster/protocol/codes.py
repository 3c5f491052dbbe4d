"""Numbers and bounds of the wire, for client and server. Imports nothing: `rmctl` loads it at every start."""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""Goes up when an old client would misread a new daemon; new methods and new optional fields do not count."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""A `RingmasterError`: the request was well formed and the daemon said no. `data.kind` says why."""

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is answered with one error and skipped up to its newline."""

MAX_BATCH = 1000
"""A longer batch is refused whole: a line of 4 MB could otherwise ask for a million answers."""

STREAM_ENDED = "rpc.ended"
"""Notification that a subscription is over: {subscription, error}; no error where it came to its end."""
