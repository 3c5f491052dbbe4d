"""One who follows the feed, and looks at what it promises on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


class Follower:
    """One who follows, and holds what the feed promises: of each source every byte once, every event once."""

    def __init__(self, receive: Callable[[], Awaitable[list[Any]]]) -> None:
        self._receive = receive
        self.messages: list[Any] = []
        self.seqs: list[int] = []
        self.texts: dict[tuple[str, str, str], str] = {}
        self.offsets: dict[tuple[str, str, str], int] = {}
        self.ended: set[tuple[str, str, str]] = set()
        self.mark = ""

    async def take(self) -> list[Any]:
        """The next messages."""
        messages = await self._receive()
        for message in messages:
            self._take(message)
        self.messages += messages
        return list(messages)

    def _take(self, message: Any) -> None:
        kind = message["kind"]
        if kind == "event":
            assert message["event"]["seq"] > (self.seqs[-1] if self.seqs else 0)
            self.seqs.append(message["event"]["seq"])
        elif kind in ("lines", "steps"):
            source = (message["attempt_id"], message["job"], message.get("output", "steps"))
            assert source not in self.ended, "something came after the end"
            assert message["offset"] == self.offsets.get(source, message["offset"])
            self.offsets[source] = message["next_offset"]
            text = message.get("text", "") or "".join(f"{step['text']}\n" for step in message.get("steps", ()))
            self.texts[source] = self.texts.get(source, "") + text
            if message["is_end"]:
                self.ended.add(source)
        elif kind in ("mark", "hello"):
            self.mark = message["cursor"]

    async def until(self, is_there: Any) -> None:
        while not is_there(self):
            await self.take()

    async def until_marked(self) -> None:
        """Until a mark covers all that was seen."""
        while not self.messages or self.messages[-1]["kind"] != "mark":
            await self.take()

    def types(self) -> list[str]:
        return [message["event"]["type"] for message in self.messages if message["kind"] == "event"]
