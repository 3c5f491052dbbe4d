"""A scripted daemon: a JSON-RPC server on a Unix socket that answers what a test says, in threads of its own.

Params are decoded by the protocol's own types, and results are built of them, so a client that drifts from the
protocol fails here.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol import (
    attempt,
    budget,
    daemon,
    database,
    decision,
    event,
    feed,
    logs,
    order,
    project,
    queue,
    rollout,
    stats,
    task,
    task_control,
    worker,
)

PARAMS: dict[str, type[msgspec.Struct]] = {
    "project.add": project.ProjectAddParams,
    "project.list": project.ProjectListParams,
    "project.show": project.ProjectShowParams,
    "project.edit": project.ProjectEditParams,
    "project.remove": project.ProjectRemoveParams,
    "task.add": task.TaskAddParams,
    "task.list": task.TaskListParams,
    "task.ready": task.TaskReadyParams,
    "task.order": order.TaskOrderParams,
    "task.graph": order.TaskGraphParams,
    "budget.show": budget.BudgetShowParams,
    "budget.set": budget.BudgetSetParams,
    "stats.series": stats.StatsSeriesParams,
    "task.show": task.TaskShowParams,
    "task.why": task.TaskShowParams,
    "task.edit": task.TaskEditParams,
    "task.dep": task.TaskDepParams,
    "task.cancel": task.TaskCancelParams,
    "task.retry": task.TaskRetryParams,
    "task.hold": task_control.TaskHoldParams,
    "task.release": task_control.TaskReleaseParams,
    "task.defer": task_control.TaskDeferParams,
    "task.reopen": task_control.TaskReopenParams,
    "task.close": task_control.TaskCloseParams,
    "task.undo": task_control.TaskUndoParams,
    "task.history": task_control.TaskHistoryParams,
    "queue.pause": queue.QueuePauseParams,
    "queue.resume": queue.QueueResumeParams,
    "task.wait": task.TaskWaitParams,
    "task.diff": task.TaskDiffParams,
    "task.accept": task.TaskAcceptParams,
    "task.reject": task.TaskRejectParams,
    "worker.spawn": worker.WorkerSpawnParams,
    "worker.list": worker.WorkerListParams,
    "worker.show": worker.WorkerIdParams,
    "worker.start": worker.WorkerSetParams,
    "worker.pause": worker.WorkerSetParams,
    "worker.stop": worker.WorkerSetParams,
    "worker.remove": worker.WorkerSetParams,
    "attempt.list": attempt.AttemptListParams,
    "attempt.show": attempt.AttemptIdParams,
    "attempt.prompt_sent": attempt.AttemptIdParams,
    "logs.read": attempt.LogsReadParams,
    "logs.search": logs.LogsSearchParams,
    "logs.follow": attempt.LogsFollowParams,
    "decision.list": decision.DecisionListParams,
    "decision.show": decision.DecisionIdParams,
    "decision.answer": decision.DecisionAnswerParams,
    "events.read": event.EventsReadParams,
    "events.subscribe": event.EventsSubscribeParams,
    "feed.subscribe": feed.FeedSubscribeParams,
    "daemon.stop": daemon.StopParams,
    "daemon.gc": daemon.GcParams,
    "database.backup": database.DatabaseBackupParams,
    "reload.request": rollout.ReloadRequestParams,
    "rollout.history": rollout.RolloutHistoryParams,
    "rollout.undo": rollout.RolloutUndoParams,
}


class Call(NamedTuple):
    """What a client asked. params: typed where the method is in PARAMS."""

    method: str
    params: Any


class Stream(NamedTuple):
    """An answer that goes on: `items` as notifications, then the end, or a hang-up in place of it."""

    notification: str
    items: Sequence[Any]
    is_hung_up: bool = False


class HangUp:
    """An answer that is none: the connection is closed."""


class RpcServer:
    """Serves while used as a context manager.

    answers: by method, a result, an error, a Stream, a HangUp, a function of the params to one of these, or a list
    of them for one call each. calls: what was asked, in order.
    """

    def __init__(self, path: Path, answers: dict[str, Any] | None = None) -> None:
        self.path = path
        self.answers = dict(answers or {})
        self.calls: list[Call] = []
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> RpcServer:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._begin(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        # shutdown wakes the threads that wait in accept and recv; close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._connections:
                self._hang_up(connection)
        for thread in list(self._threads):
            thread.join()
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def called(self, method: str) -> list[Any]:
        """The params of each call of a method."""
        return [call.params for call in self.calls if call.method == method]

    def _begin(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.append(connection)
            self._begin(self._serve, connection)

    @staticmethod
    def _hang_up(connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    if not self._answer(connection, msgspec.json.decode(line)):
                        return
            except OSError:
                return

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> bool:
        """Answer one request; False to hang up."""
        try:
            answer = self._find(request["method"], request.get("params", {}))
        except RingmasterError as error:
            answer = error
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if isinstance(answer, HangUp):
            return False
        if isinstance(answer, RingmasterError):
            data = {"kind": answer.kind, "retryable": answer.is_retryable, "hint": answer.hint}
            self._send(connection, head | {"error": {"code": -32000, "message": answer.message, "data": data}})
            return True
        if not isinstance(answer, Stream):
            self._send(connection, head | {"result": answer})
            return True
        self._send(connection, head | {"result": {"subscription": 1, "cursor": 0, "attempt_id": ""}})
        for item in answer.items:
            params = {"subscription": 1, "item": item}
            self._send(connection, {"jsonrpc": "2.0", "method": answer.notification, "params": params})
        if not answer.is_hung_up:
            params = {"subscription": 1, "error": None}
            self._send(connection, {"jsonrpc": "2.0", "method": "rpc.ended", "params": params})
        return not answer.is_hung_up

    def _find(self, method: str, raw: dict[str, Any]) -> Any:
        params: Any = raw
        if method in PARAMS:
            try:
                params = msgspec.convert(raw, PARAMS[method])
            except msgspec.ValidationError as error:
                raise RingmasterError(ErrorKind.USAGE, str(error)) from error
            unknown = raw.keys() - set(PARAMS[method].__struct_fields__)
            assert not unknown, f"{method} has no {unknown}"
        self.calls.append(Call(method, params))
        if method not in self.answers:
            raise RingmasterError(ErrorKind.USAGE, f"no method {method}")
        answer = self.answers[method]
        if isinstance(answer, list):
            answer = answer.pop(0)
        return answer(params) if callable(answer) else answer

    @staticmethod
    def _send(connection: socket.socket, document: dict[str, Any]) -> None:
        connection.sendall(msgspec.json.encode(document) + b"\n")
