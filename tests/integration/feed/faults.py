"""Faults planted on purpose: each changes one function in memory, and a walk must find it."""

from __future__ import annotations

from typing import NamedTuple

from tests.sim.mutants import Mutant


class Fault(NamedTuple):
    """A fault, and a seed that found it."""

    seed: int
    mutant: Mutant


FAULTS: tuple[Fault, ...] = (
    Fault(
        1,
        Mutant(
            "a cursor is one event ahead",
            "feed.session:Session._here",
            "self._seq, offsets",
            "self._seq + 1, offsets",
        ),
    ),
    Fault(
        1,
        Mutant(
            "a cursor is one byte ahead",
            "feed.session:Session._here",
            "source: position.offset for",
            "source: position.offset + 1 for",
        ),
    ),
    Fault(
        5,
        Mutant(
            "a mark is given before the bytes that it covers",
            "feed.session:Session._here",
            "source: position.offset for",
            "source: max(position.offset, position.reader.end) for",
        ),
    ),
    Fault(
        1,
        Mutant(
            "a mark is given before the events that it covers",
            "feed.session:Session._here",
            "self._seq, offsets",
            "self._feed.last_seq, offsets",
        ),
    ),
    Fault(
        17,
        Mutant(
            "who is sent away is told more than was sent",
            "feed.session:Session.cursor",
            "encode_cursor(self._given)",
            "encode_cursor(self._here())",
        ),
    ),
    Fault(
        1,
        Mutant(
            "events of other tasks come",
            "feed.wanted:Wanted.is_about",
            "and (not self.task_id or event.task_id == self.task_id)",
            "",
        ),
    ),
    Fault(
        1,
        Mutant(
            "events of other workers come",
            "feed.wanted:Wanted.is_about",
            "and (not self.worker_id or self.worker_id in (event.worker_id, worker_id))",
            "",
        ),
    ),
    Fault(
        20,
        Mutant(
            "an attempt's worker is not looked up",
            "feed.session:Session._look_up",
            "if not event.attempt_id or not (is_job or is_asked):",
            "if not event.attempt_id or not is_job:",
        ),
    ),
    Fault(
        20,
        Mutant(
            "output of other projects comes",
            "feed.wanted:Wanted.is_of",
            'and self.project_id in ("", project_id)',
            "",
        ),
    ),
    Fault(
        1,
        Mutant(
            "events of any type come",
            "feed.wanted:Wanted.is_shown",
            "return not self.types or any(",
            "return True or any(",
        ),
    ),
    Fault(
        16,
        Mutant(
            "output is left out without a word",
            "feed.session:Session._take_piece",
            "frame.add(encode(Resync(cursor=encode_cursor(self._here()), gaps=(gap,))))",
            "pass",
        ),
    ),
    Fault(
        6,
        Mutant(
            "a source is dropped where a cursor is gone on from",
            "feed.beginning:_find_followed",
            "if source in wanted",
            "if source.output != 'stderr' and source in wanted",
        ),
    ),
    Fault(
        5,
        Mutant(
            "a cursor is gone on from though output is gone",
            "feed.session:Session._find_lost_output",
            "if offset > files.size_of(directory / source.channel) or files.is_removed(directory):",
            "if False:",
        ),
    ),
    Fault(
        242,
        Mutant(
            "a cursor is gone on from though events are gone",
            "feed.beginning:_find_loss",
            "if seq + 1 < events.first_seq(conn):",
            "if False:",
        ),
    ),
    Fault(
        6,
        Mutant(
            "an end is told before the last bytes",
            "feed.position:Position.next_piece",
            "if reader.is_complete and self.is_ended:",
            "if self.is_ended:",
        ),
    ),
    Fault(
        5,
        Mutant(
            "an end is told before anybody said it",
            "feed.position:Position.next_piece",
            "if reader.is_complete and self.is_ended:",
            "if reader.is_complete:",
        ),
    ),
    Fault(
        5,
        Mutant(
            "the end of an attempt ends nothing",
            "feed.session:Session._end_attempt",
            "if source.attempt_id == attempt_id:",
            "if False:",
        ),
    ),
    Fault(
        5,
        Mutant(
            "a job that is ended late is told again",
            "feed.session:Session._note",
            "if position is None and about.had_begun:",
            "if False:",
        ),
    ),
    Fault(
        6,
        Mutant(
            "a job that lives on is cut off",
            "feed.session:Session._is_alive",
            "return is_held(",
            "return False and is_held(",
        ),
    ),
    Fault(
        1,
        Mutant(
            "a job that begins later is begun at its end",
            "feed.session:Session._note",
            "position = self._add(about.attempt, source, 0, is_ended=is_ended)",
            "position = self._add(about.attempt, source, 3, is_ended=is_ended)",
        ),
    ),
    Fault(
        5,
        Mutant(
            "all is told where the last lines were asked for",
            "feed.session:Session._start",
            "started.append((position, offset is None))",
            "started.append((position, False))",
        ),
    ),
    Fault(
        241,
        Mutant(
            "what the bus dropped is not asked for",
            "feed.feed:Feed.run",
            "self._forget_recent()\n                    self.last_seq = await self.store.read(events.last_seq)",
            "self._forget_recent()",
        ),
    ),
    Fault(
        1,
        Mutant(
            "the oldest event that is kept is passed over",
            "feed.feed:Feed.events_after",
            "if not recent or not recent[0].seq - 1 <= seq < recent[-1].seq:",
            "if not recent or not recent[0].seq - 2 <= seq < recent[-1].seq:",
        ),
    ),
    Fault(
        7,
        Mutant(
            "what did not fit into a frame is passed over",
            "feed.session:Session._take_events",
            "if await self._take(frame, look.events):",
            "if await self._take(frame, look.events) or True:",
        ),
    ),
    Fault(
        5,
        Mutant(
            "a byte is told twice to who is behind",
            "feed.position:Position._read_behind",
            "self.offset = offset + length",
            "self.offset = offset + length - (length > 1)",
        ),
    ),
    Fault(
        16,
        Mutant(
            "who follows is not woken by an end",
            "feed.reader:Reader._complete",
            "self._wake()",
            "pass",
        ),
    ),
    Fault(
        1,
        Mutant(
            "nobody is woken by an event",
            "feed.session:Session.wake_events",
            "self._wakeup.set()",
            "pass",
        ),
    ),
    Fault(
        5,
        Mutant(
            "a source that cannot be read is forgotten by the cursor",
            "feed.session:Session._here",
            " | self._unreadable",
            "",
        ),
    ),
    Fault(
        5,
        Mutant(
            "a source that cannot be read is ended without a word",
            "feed.position:Position.find_failure",
            "if not reader.is_complete:",
            "if True:",
        ),
    ),
    Fault(
        5,
        Mutant(
            "what was removed unread is not spoken of",
            "feed.position:Position.is_gone",
            "return self.offset == 0 and",
            "return False and",
        ),
    ),
    Fault(
        90,
        Mutant(
            "a snapshot holds what has ended",
            "feed.beginning:snapshot_of",
            "if known.attempt.state is not AttemptState.ENDED",
            "if known.attempt.state is not None",
        ),
    ),
    Fault(
        9,
        Mutant(
            "a stream that comes back to what is over does not end",
            "feed.beginning:_is_over_at",
            "return not any(",
            "return False and not any(",
        ),
    ),
    Fault(
        11,
        Mutant(
            "a stream ends though its attempt lives",
            "feed.beginning:_is_over_at",
            "return attempt is None",
            "return True",
        ),
    ),
)
