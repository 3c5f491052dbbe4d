"""What a client has of the feed by the rule of docs/stream.md, held against what really happened."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from ringmaster.feed.cursor import Cursor, Source, decode_cursor
from ringmaster.protocol.feed import FeedSubscribeParams
from tests.integration.feed.truth import NEVER, Job, Truth, as_step

HELD_BYTES = 60


@dataclass
class Run:
    """What came of a source without a gap: from `start` to `end`."""

    start: int
    end: int
    text: str = ""
    steps: tuple[str, ...] = ()


@dataclass
class Opening:
    """What was there when a subscription began, and which cursor it was given."""

    params: FeedSubscribeParams
    cursor: str
    last_seq: int
    sizes: dict[tuple[str, str, str], int]
    base: Cursor | None = None
    until_seq: int = 0
    until_sizes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    may_expire: bool = False


class View:
    """What a client has. base_seq: whatever begins behind it is told from its beginning.

    live: the last run of each source that is followed, None where nothing of it has come. missing: sources of which
    the client was told that they cannot be read. is_named_over: the attempt that is named was told to its end.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.params = FeedSubscribeParams()
        self.base_seq = self.seq = 0
        self.live: dict[Source, Run] = {}
        self.ended: set[Source] = set()
        self.missing: set[Source] = set()
        self.cursor = ""

    def copy(self) -> View:
        """As it is now, for who comes back to here."""
        other = copy.copy(self)
        other.live = {source: copy.copy(run) for source, run in self.live.items()}
        other.ended, other.missing = set(self.ended), set(self.missing)
        return other

    # Where a subscription begins.

    def begin(self, opening: Opening, *, is_expired: bool) -> None:
        """A subscription takes the place of the one before."""
        base = opening.base
        assert base is not None
        assert not is_expired or opening.may_expire, "a cursor has expired for no reason"
        is_resumed = bool(opening.cursor) and not is_expired
        if is_resumed:
            assert base.seq == self.seq_of(opening.cursor), "it does not go on where the cursor says"
        else:
            assert opening.last_seq <= base.seq <= opening.until_seq, "it begins neither before nor behind now"
            self.live, self.ended = {}, set()
        self.params = opening.params
        self.missing = set()
        kept: dict[Source, Run] = {}
        for source, run in self.live.items():
            if source in self.truth.job_of(source).sources(self.params):
                assert base.offsets.get(source) == run.end, f"{source} goes on at {base.offsets.get(source)}: {run.end}"
                kept[source] = run
        self.live = kept
        self._check_new(opening, base, is_resumed=is_resumed)
        for source, offset in base.offsets.items():
            self.live.setdefault(source, Run(offset, offset))
        self.base_seq = self.seq = base.seq

    def seq_of(self, cursor: str) -> int:
        """Which events lie before a cursor."""
        return decode_cursor(cursor).seq

    def _check_new(self, opening: Opening, base: Cursor, *, is_resumed: bool) -> None:
        named = {source.attempt_id for source in decode_cursor(opening.cursor).offsets} if is_resumed else set()
        for job in self.truth.jobs():
            is_named = bool(self.params.attempt_id) and not is_resumed
            is_begun = job.begins_at <= base.seq
            is_running = is_begun and job.ends_at > base.seq and job.attempt.end_seq > opening.until_seq
            # What ended since the cursor is begun with too where the cursor names other output of the same attempt.
            is_known = job.attempt.end_seq > opening.last_seq or job.attempt.id in named
            may_run = is_begun and job.ends_at > base.seq and is_known
            for source in job.sources(self.params):
                if source in self.live:
                    continue
                if source not in base.offsets:
                    assert not is_running or source in self.ended, f"{source} is left out"
                    is_told_of = job.attempt.start_seq >= self.truth.first_seq
                    assert not (is_named and is_begun and is_told_of) or source in self.ended, f"{source} is left out"
                    continue
                assert may_run or (is_named and is_begun), f"{source} is told though it has ended"
                assert source not in self.ended, f"{source} is told again"
                self._check_start(opening, job, source, base.offsets[source])

    def _check_start(self, opening: Opening, job: Job, source: Source, offset: int) -> None:
        text = job.text(source.channel)
        place = (source.attempt_id, source.job, source.channel)
        least, most = opening.sizes.get(place, 0), opening.until_sizes.get(place, 0)
        count = self.params.tail_lines
        if job.is_removed or self.truth.may_fail:
            # What cannot be read is begun with from its beginning.
            return
        if count is None:
            assert offset == 0, f"{source} begins at {offset}"
        elif count:
            least, most = text.tail_start(least, count), text.tail_start(most, count)
            assert least <= offset <= most, f"{source} begins at {offset}, not in {least}-{most}"
        else:
            least = text.line_start(least)
            assert least <= offset <= most, f"{source} begins at {offset}, not in {least}-{most}"

    # What comes.

    def take(self, message: Any) -> None:
        """One message. `hello` and what says that a cursor has expired were looked at before."""
        kind = message["kind"]
        if kind == "event":
            self._take_event(message["event"]["seq"])
        elif kind in ("lines", "steps"):
            self._take_output(kind, message)
        elif kind in ("mark", "bye"):
            self.mark(message["cursor"])
        elif kind == "resync":
            for gap in message["gaps"]:
                self._take_gap(gap)
        elif kind == "unreadable":
            self._take_unreadable(message)
        else:
            assert kind in ("hello", "cursor_expired", "snapshot"), message

    def _take_event(self, seq: int) -> None:
        expected = self.truth.next_shown(self.params, self.seq)
        assert seq == expected, f"event {seq} came, and {expected} was next"
        self.seq = seq

    def _take_output(self, kind: str, message: Any) -> None:
        source = Source(message["attempt_id"], message["job"], message.get("output", "steps"))
        job = self.truth.job_of(source)
        text = job.text(source.channel)
        assert source in job.sources(self.params), f"{source} was not asked for"
        run = self._run_of(source)
        offset, end = message["offset"], message["next_offset"]
        assert offset == run.end, f"{source} goes on at {offset}, not {run.end}"
        assert offset <= end <= text.written, f"{source} ends at {end} of {text.written}"
        run.end = end
        if kind == "lines":
            run.text += message["text"]
            if end > offset:
                assert message["is_partial"] == (text.data[end - 1 : end] != b"\n"), f"{source}: is_partial"
        else:
            run.steps += tuple(said for step in message["steps"] if (said := as_step(step["text"])))
        if message["is_end"]:
            assert job.is_over, f"{source} ends before its job"
            self._check_end(source, run)

    def _run_of(self, source: Source) -> Run:
        run = self.live.get(source)
        if run is None:
            begins_at = self.truth.job_of(source).begins_at
            assert source not in self.ended, f"{source} goes on after its end"
            assert self.base_seq < begins_at <= self.truth.last_seq, f"{source} comes from nowhere"
            run = self.live[source] = Run(0, 0)
        return run

    def _check_end(self, source: Source, run: Run) -> None:
        job = self.truth.job_of(source)
        written = job.text(source.channel).written
        if source not in self.missing:
            assert run.end == written, f"{source} ends at {run.end} of {written} without a word"
        self.check_text(source, run)
        self.ended.add(source)
        del self.live[source]

    def check_text(self, source: Source, run: Run) -> None:
        """What was shown is what the bytes say."""
        text = self.truth.job_of(source).text(source.channel)
        if source.output == "steps":
            seen, came = text.steps(run.start, run.end), list(run.steps)
        else:
            seen, came = [text.seen(run.start, run.end)], [run.text]
        assert came == seen, f"{source} {run.start}-{run.end} shows {came}, not {seen}"

    def _take_unreadable(self, message: Any) -> None:
        source = Source(message["attempt_id"], message["job"], message["output"])
        run = self._run_of(source)
        assert message["offset"] == run.end, f"{source} is left off at {message['offset']}, not at {run.end}"
        assert self.truth.may_fail or self.truth.job_of(source).is_removed, f"{source} is left off without need"
        assert message["reason"]
        self.missing.add(source)

    def _take_gap(self, gap: Any) -> None:
        source = Source(gap["attempt_id"], gap["job"], gap["output"])
        run = self._run_of(source)
        written = self.truth.job_of(source).text(source.channel).written
        assert gap["offset"] == run.end < gap["next_offset"] <= written, f"{source} has a gap {gap} at {run.end}"
        self.check_text(source, run)
        self.live[source] = Run(gap["next_offset"], gap["next_offset"])

    def mark(self, at: str) -> None:
        """All before a mark has come, and a mark covers all that has come."""
        cursor = decode_cursor(at)
        expected = self.truth.next_shown(self.params, self.seq)
        assert self.seq <= cursor.seq < expected, f"a mark at {cursor.seq}: {self.seq} has come, {expected} is next"
        self.seq = cursor.seq
        for job in self.truth.jobs():
            if self.base_seq < job.begins_at <= cursor.seq:
                for source in job.sources(self.params):
                    if source not in self.ended:
                        self.live.setdefault(source, Run(0, 0))
        here = {source: run.end for source, run in self.live.items()}
        assert dict(cursor.offsets) == here, f"a mark says {dict(cursor.offsets)}, and here is {here}"
        self.cursor = at

    # How far it has to be when nothing moves.

    def check_at_rest(self, *, is_over: bool) -> None:
        """Everything has come that can be told. is_over: the stream has ended."""
        named = self.truth.attempts.get(self.params.attempt_id)
        has_ended = named is not None and named.end_seq != NEVER
        assert has_ended or not is_over, "a stream ends though more may come"
        is_dead = has_ended and named is not None and all(job.is_dead for job in named.jobs.values())
        is_done = is_dead and self.live.keys() <= self.missing
        assert is_over or not is_done, f"{self.params.attempt_id} is over and the stream goes on"
        left = self.truth.next_shown(self.params, self.seq)
        assert left == NEVER or is_over, f"event {left} has not come"
        for job in self.truth.jobs():
            if self.base_seq < job.begins_at <= self.truth.last_seq and not is_over:
                for source in job.sources(self.params):
                    # Of what has said no line yet nothing may be told.
                    text = job.text(source.channel)
                    is_silent = not job.is_over and text.line_start(text.written) == 0
                    assert is_silent or source in self.live or source in self.ended, f"{source} has not begun"
        for source, run in self.live.items():
            job = self.truth.job_of(source)
            text = job.text(source.channel)
            assert not job.is_over or source in self.missing, f"the end of {source} has not come"
            least = text.line_start(text.written)
            if source.output != "steps":
                # A line that is not ended is told but for what may become a key, or is half of something.
                least = max(least, text.written - HELD_BYTES)
            assert source in self.missing or run.end >= least, f"{source} stands at {run.end} of {text.written}"
            self.check_text(source, run)
