"""Jobs of attempts as their shims and the supervisor leave them, without either."""

from __future__ import annotations

from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.claim import Claim
from ringmaster.workers.jobs import emit_job
from tests.integration.rpc.harness import Table


class Job:
    """A job of an attempt as its shim and the supervisor leave it."""

    def __init__(self, table: Table, claim: Claim, name: str = "agent") -> None:
        self.table = table
        self.attempt = claim.attempt
        self.name = name
        self.place = table.paths.attempt(claim.attempt.id) / name

    async def begin(self) -> Job:
        self.place.mkdir(parents=True)
        await self._emit("attempt.job_started")
        return self

    def append(self, data: str | bytes, channel: str = "stdout") -> None:
        with (self.place / channel).open("ab") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    async def end(self) -> None:
        (self.place / "exit.json").write_text("{}")
        await self._emit("attempt.job_ended")

    async def _emit(self, type: str) -> None:
        await self.table.store.write(emit_job, self.attempt, type, self.name, str(self.place), {})


async def claim_task(table: Table, title: str = "Do it") -> Claim:
    if not await table.sql("SELECT id FROM projects"):
        await table.add_project()
    await table.add_task(title)
    return await table.claim()


async def end_attempt(table: Table, claim: Claim) -> None:
    attempt = claim.attempt
    await table.store.write(reporting.end_attempt, attempt.id, attempt.token, Outcome.FAILED, "over", rng=table.sur.rng)
