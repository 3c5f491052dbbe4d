"""Calls, pipelined calls, notifications and streams over one connection that mends itself where that is safe.

Envelopes are read with the standard library's json: importing msgspec would add 10 ms to every `rmctl`, json adds
1 ms (after click, medians). msgspec is imported only when a caller passes or asks for one of its structs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic, sleep
from typing import Any, TypeVar, overload

from ringmaster.client.interrupts import Interrupts
from ringmaster.client.reach import DEFAULT_NAME
from ringmaster.client.transport import Lost, OnWait, Transport
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import PROTOCOL_VERSION, STREAM_ENDED

T = TypeVar("T")

RECONNECT_PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Before each further try, once a connection was lost: in all 3 s, the time a keeper needs to restart a daemon."""


class Client:
    """A connection to one daemon, made at the first call. Close it, or use it as a context manager.

    path: of the socket. name: what a person calls the instance (for hints). timeout_s: of each call, connecting
    included; None waits for ever. Every method raises `RingmasterError`; `Lost` is the one for a connection that
    ended between request and answer.

    A call is repeated over a new connection when that is safe: `is_repeatable` (reads), or an `idempotency_key`
    among its params, by which the daemon knows it again.

    on_wait: called while an answer or an item is waited for, to show that; in how many seconds it wants to be called
    again, None for not again. interrupts: what ends a wait with KeyboardInterrupt.
    """

    def __init__(self, path: str, *, name: str = DEFAULT_NAME, timeout_s: float | None = 30.0) -> None:
        self.path = path
        self.name = name
        self.timeout_s = timeout_s
        self.on_wait: OnWait | None = None
        self.interrupts: Interrupts | None = None
        self._heard: tuple[str, Mapping[str, Any], Callable[[Any], None]] | None = None
        self._transport: Transport | None = None
        self._last_id = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; a later call connects anew."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def hear(self, method: str, params: object, take: Callable[[Any], None]) -> None:
        """Let a subscription go along with the connections made from now on, for as long as answers are waited for.

        take: gets None when it has begun, on each connection anew, and then each item. One that is refused is none.
        """
        self._heard = method, to_plain(params), take

    @overload
    def call(
        self, method: str, params: object = None, result_type: None = None, *, is_repeatable: bool = False
    ) -> Any: ...

    @overload
    def call(self, method: str, params: object, result_type: type[T], *, is_repeatable: bool = False) -> T: ...

    def call(
        self,
        method: str,
        params: object = None,
        result_type: type[Any] | None = None,
        *,
        is_repeatable: bool = False,
    ) -> Any:
        """Call a method. params: a mapping or a msgspec struct. The result as plain values, or as `result_type`."""
        plain = to_plain(params)
        is_safe = is_repeatable or bool(plain.get("idempotency_key"))
        deadline = self._deadline()
        line, number = self._request(method, plain)

        def exchange() -> Any:
            transport = self._connect(deadline)
            transport.send(line, deadline)
            return to_type(result_of(self._answer_to(number, transport, deadline)), result_type)

        return self._repeating(exchange, deadline) if is_safe else self._once(exchange)

    def call_many(self, calls: Iterable[tuple[str, object]], *, is_repeatable: bool = False) -> list[Any]:
        """Call many methods in one go. The results in order of the calls, plain; a refused call's is its error.

        Each call stands for itself: one that is refused keeps none of the others from being carried out.
        """
        numbered = [self._request(method, to_plain(params)) for method, params in calls]
        deadline = self._deadline()
        lines = [line for line, _ in numbered]

        def exchange() -> list[Any]:
            transport = self._connect(deadline)
            answers = [json.loads(line) for line in transport.exchange(lines, deadline)]
            by_id = {answer.get("id"): answer for answer in answers}
            return [_result_or_error(by_id[number]) for _, number in numbered]

        return self._repeating(exchange, deadline) if is_repeatable else self._once(exchange)

    def notify(self, method: str, params: object = None) -> None:
        """Send a call that is never answered: nothing says whether it was carried out."""
        deadline = self._deadline()
        document = {"jsonrpc": "2.0", "method": method, "params": to_plain(params)}
        self._connect(deadline).send(_line(document), deadline)

    def stream(
        self,
        method: str,
        params: object = None,
        item_type: type[Any] | None = None,
        *,
        resume: Callable[[Any], Mapping[str, Any]] | None = None,
        on_begin: Callable[[Any], None] | None = None,
    ) -> Iterator[Any]:
        """Subscribe, and yield each item until the daemon says that the stream is over.

        It has a connection of its own, closed with the generator. on_begin gets the subscribing call's result.
        resume: given the last item, the params that go on behind it; with it a lost connection is followed up
        without gap or double. Without it, `Lost` is raised.
        """
        plain = to_plain(params)
        pauses = iter(RECONNECT_PAUSES_S)
        while True:
            try:
                for item in self._follow(method, plain, on_begin):
                    yield to_type(item, item_type)
                    on_begin = None
                    pauses = iter(RECONNECT_PAUSES_S)
                    if resume is not None:
                        plain = {**plain, **resume(item)}
                return
            except RingmasterError as error:
                pause_s = next(pauses, None) if resume is not None else None
                if pause_s is None or error.kind not in (ErrorKind.UNREACHABLE, ErrorKind.STOPPING):
                    raise
                self._pause(pause_s)

    def _follow(self, method: str, params: Mapping[str, Any], on_begin: Callable[[Any], None] | None) -> Iterator[Any]:
        line, number = self._request(method, params)
        deadline = self._deadline()
        with Transport.connect(self.path, self.name, self.timeout_s) as transport:
            transport.send(line, deadline)
            transport.on_wait, transport.interrupts = self.on_wait, self.interrupts
            begun = result_of(self._answer_to(number, transport, deadline))
            if on_begin is not None:
                on_begin(begun)
            while True:
                message = json.loads(transport.receive(None))
                if message.get("method") == STREAM_ENDED:
                    error = message["params"]["error"]
                    if error is not None:
                        raise error_of(error)
                    return
                yield message["params"]["item"]

    def _deadline(self) -> float | None:
        return None if self.timeout_s is None else monotonic() + self.timeout_s

    def _request(self, method: str, params: Mapping[str, Any]) -> tuple[bytes, int]:
        self._last_id += 1
        document = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        return _line(document), self._last_id

    def _connect(self, deadline: float | None) -> Transport:
        if self._transport is None:
            timeout_s = None if deadline is None else max(0.001, deadline - monotonic())
            self._transport = Transport.connect(self.path, self.name, timeout_s)
            if self._heard is not None:
                method, params, _ = self._heard
                self._transport.send(self._request(method, params)[0], deadline)
        self._transport.on_wait, self._transport.interrupts = self.on_wait, self.interrupts
        return self._transport

    def _once(self, exchange: Callable[[], T]) -> T:
        try:
            return exchange()
        except RingmasterError as error:
            if isinstance(error, Lost) or error.kind is ErrorKind.TIMED_OUT:
                self.close()  # a late answer must not be taken for the next call's
            raise

    def _repeating(self, exchange: Callable[[], T], deadline: float | None) -> T:
        """Exchange until it is answered. The first connect is tried once: a daemon that is down is said at once."""
        was_up = self._transport is not None
        for pause_s in RECONNECT_PAUSES_S:
            try:
                return self._once(exchange)
            except RingmasterError as error:
                was_up = was_up or error.kind is ErrorKind.STOPPING or isinstance(error, Lost)
                is_over = deadline is not None and monotonic() + pause_s >= deadline
                if error.kind not in (ErrorKind.UNREACHABLE, ErrorKind.STOPPING) or not was_up or is_over:
                    raise
                self.close()
            self._pause(pause_s)
        return self._once(exchange)

    def _pause(self, pause_s: float) -> None:
        """Before another try; whoever shows that something is waited for is called meanwhile too."""
        until = monotonic() + pause_s
        while self.on_wait is not None and (left_s := until - monotonic()) > 0:
            again_s = self.on_wait()
            sleep(left_s if again_s is None else min(max(again_s, 0.01), left_s))
        sleep(max(0.0, until - monotonic()))

    def _answer_to(self, number: int, transport: Transport, deadline: float | None) -> dict[str, Any]:
        while True:
            answer: dict[str, Any] = json.loads(transport.receive(deadline))
            # An answer without an id refuses what the daemon could not read, or hangs up on us.
            if answer.get("id") == number or (answer.get("id") is None and "error" in answer):
                return answer
            if self._heard is not None and "error" not in answer and answer.get("method") != STREAM_ENDED:
                self._heard[2](answer["params"]["item"] if "method" in answer else None)


def _line(document: Mapping[str, Any]) -> bytes:
    """A request as it is sent.

    Raises:
        RingmasterError: USAGE for text that came as bytes which are no UTF-8: no JSON can carry it.
    """
    try:
        return json.dumps(document, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        # How Python keeps a byte of a command line that it could not read.
        what = f"the byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
        raise RingmasterError(
            ErrorKind.USAGE, f"what was given is no UTF-8 text: it holds {what}", "write it in UTF-8"
        ) from error


def _result_or_error(answer: Mapping[str, Any]) -> Any:
    try:
        return result_of(answer)
    except RingmasterError as error:
        return error


def result_of(answer: Mapping[str, Any]) -> Any:
    """The result in an answer. Raises the `RingmasterError` that it tells of otherwise."""
    if "error" in answer:
        raise error_of(answer["error"])
    return answer["result"]


def error_of(error: Mapping[str, Any]) -> RingmasterError:
    """The error a daemon sent, as the exception it was there. One of another protocol is told as that."""
    data = error.get("data") or {}
    message = str(error.get("message", "the daemon refused without words"))
    hint = str(data.get("hint", ""))
    try:
        kind = ErrorKind(data.get("kind", ""))
    except ValueError:
        kind = ErrorKind.PROTOCOL
    protocol = data.get("protocol", PROTOCOL_VERSION)
    if protocol != PROTOCOL_VERSION and kind in (ErrorKind.PROTOCOL, ErrorKind.USAGE):
        return RingmasterError(
            ErrorKind.PROTOCOL,
            f"the daemon speaks protocol {protocol}, this rmctl {PROTOCOL_VERSION}: {message}",
            "use the rmctl that came with the daemon, or restart the daemon: rmctl daemon restart",
        )
    return RingmasterError(kind, message, hint)


def to_plain(params: object) -> dict[str, Any]:
    """Params as JSON values. Takes None, a mapping, or a msgspec struct."""
    if params is None:
        return {}
    if isinstance(params, Mapping):
        return dict(params)
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(params, str_keys=True)
    return plain


def to_type(value: Any, kind: type[Any] | None) -> Any:
    """A plain value as `kind`. Raises `RingmasterError` when the daemon's answer is none."""
    if kind is None:
        return value
    import msgspec

    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise RingmasterError(
            ErrorKind.PROTOCOL,
            f"the daemon's answer is not what this rmctl expects: {error}",
            "use the rmctl that came with the daemon",
        ) from None
