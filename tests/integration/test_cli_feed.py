"""rmctl as a program against a scripted daemon: the feed followed, with its output, and taken up again."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from ringmaster.protocol.attempt import LogChunk, LogStep
from ringmaster.protocol.event import EventPage
from ringmaster.protocol.feed import (
    Bye,
    CursorExpired,
    FeedAttempt,
    FeedEvent,
    FeedOutput,
    Gap,
    Hello,
    Lines,
    Mark,
    Resync,
    Snapshot,
    Steps,
)
from tests.fakes.rpc_results import AT, make_event
from tests.fakes.rpc_server import Stream

ATTEMPT = "rm-abc12/1"


def hello(cursor="c0"):
    return Hello(instance="i", generation=1, cursor=cursor)


def event(seq, **changes):
    return FeedEvent(event=make_event(seq, **changes))


def lines(offset, text, output: FeedOutput = "stdout", *, is_partial=False, is_end=False, job="agent"):
    return Lines(
        attempt_id=ATTEMPT,
        job=job,
        output=output,
        offset=offset,
        next_offset=offset + len(text.encode()),
        text=text,
        is_partial=is_partial,
        is_end=is_end,
    )


def feed(*batches, is_hung_up=False):
    return Stream("feed.messages", batches, is_hung_up=is_hung_up)


def stored(*seqs):
    """What is stored: whoever asks for later ones gets those."""

    def read(params):
        found = [seq for seq in seqs if params.after is None or seq > params.after]
        return EventPage(events=tuple(map(make_event, found[: params.limit])), cursor=max(seqs))

    return read


def cells(ended):
    return [line.split("\t") for line in ended.out.splitlines()]


def seqs(ended):
    return [int(line[0]) for line in cells(ended)]


def test_events_go_on_over_a_restart_from_the_last_mark_without_gap_or_double(daemon, rmctl):
    daemon.answers["events.read"] = stored(1, 2)
    daemon.answers["feed.subscribe"] = [
        # What comes after the mark is not shown: it comes again, and is shown then.
        feed([hello(), event(3), Mark(cursor="c3")], [event(4)], is_hung_up=True),
        feed([hello("c3"), event(4), event(5), Mark(cursor="c5")]),
    ]
    ended = rmctl("events", "-f", "-t", "task.", "--task", "rm-abc12", "--show-cursor")
    assert (seqs(ended), ended.err) == ([1, 2, 3, 4, 5], "-- cursor: c5\n")
    first, second = daemon.called("feed.subscribe")
    assert (first.cursor, second.cursor, first.output) == ("", "c3", ())
    assert (first.task_id, first.type, second.task_id) == ("rm-abc12", ("task.",), "rm-abc12")


def test_what_happens_between_the_stored_ones_and_the_feed_is_there_once(daemon, rmctl):
    pages = iter([stored(1, 2), stored(1, 2, 3, 4), stored(1, 2, 3, 4)])
    daemon.answers["events.read"] = lambda params: next(pages)(params)
    daemon.answers["feed.subscribe"] = feed([hello(), Mark(cursor="c3")], [event(4), event(5), Mark(cursor="c5")])
    assert seqs(rmctl("events", "-f")) == [1, 2, 3, 4, 5]


def test_a_cursor_is_gone_on_from_and_a_seq_is_one_still(daemon, rmctl):
    daemon.answers["feed.subscribe"] = lambda params: feed([hello(), event(7), Mark(cursor="c7")])
    assert seqs(rmctl("events", "-f", "--after-cursor", "eJyrVg")) == [7]
    assert daemon.called("events.read") == [], "the feed has all that came after it"
    daemon.answers["events.read"] = stored(4, 5, 6)
    assert seqs(rmctl("events", "-f", "--after-cursor", "4")) == [5, 6, 7]
    assert [call.cursor for call in daemon.called("feed.subscribe")] == ["eJyrVg", ""]


def test_output_comes_along_in_rows_of_its_own(daemon, rmctl):
    step = Steps(
        attempt_id=ATTEMPT,
        job="agent",
        offset=0,
        next_offset=9,
        steps=(LogStep(kind="tool", text="edit\nx.py", at=AT),),
    )
    messages = [
        event(3, attempt_id=ATTEMPT),
        step,
        lines(0, "one\ntw", "stderr", is_partial=True),
        lines(6, "o\n", "stderr"),
        lines(0, "1 passed\n", "gate", job="gate-2"),
        lines(0, "", "stderr", is_end=True),
    ]
    daemon.answers |= {"events.read": stored(2), "feed.subscribe": feed([hello(), *messages, Mark(cursor="c3")])}
    ended = rmctl("events", "-f", "-n", "0", "-S", "steps,stderr", "-S", "gate", "--worker", "w1", "--level", "all")
    assert daemon.called("feed.subscribe")[0].output == ("steps", "stderr", "gate")
    assert daemon.called("feed.subscribe")[0].worker_id == "w1"
    at = "2027-01-15T08:00:00.000Z"
    assert cells(ended) == [
        ["3", at, "task.created", ATTEMPT, "title=Mend the parser"],
        ["", at, "tool", ATTEMPT, "edit"],
        ["", at, "tool", ATTEMPT, "x.py"],
        ["", "", "stderr", ATTEMPT, "one"],
        ["", "", "stderr", ATTEMPT, "tw…"],
        ["", "", "stderr", ATTEMPT, "…o"],
        ["", "", "gate-2", ATTEMPT, "1 passed"],
    ]
    assert rmctl("events", "-f", "--level", "important", "-q").out == "3\n", "ids are of events alone"


def test_messages_as_json_are_as_they_came(daemon, rmctl):
    daemon.answers["events.read"] = stored(1)
    daemon.answers["feed.subscribe"] = feed([hello(), lines(0, "a\n"), Mark(cursor="c1")])
    ended = rmctl("events", "-f", "-S", "stdout", "-o", "json")
    first, begun, output, mark = [json.loads(line) for line in ended.out.splitlines()]
    assert (first["kind"], first["event"]["seq"], first["event"]["at"]) == ("event", 1, AT)
    assert (begun["kind"], output["text"], output["next_offset"], mark) == (
        "hello",
        "a\n",
        2,
        {"kind": "mark", "cursor": "c1"},
    )


def test_events_alone_as_json_are_an_object_a_line(daemon, rmctl):
    daemon.answers |= {"events.read": stored(1), "feed.subscribe": feed([hello(), event(2), Mark(cursor="c2")])}
    ended = rmctl("events", "-f", "-o", "json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [(row["seq"], row["at"], row["data"]["title"]) for row in rows] == [
        (1, "2027-01-15T08:00:00.000Z", "Mend the parser"),
        (2, "2027-01-15T08:00:00.000Z", "Mend the parser"),
    ]


def test_what_is_about_the_feed_itself_is_told_in_words(daemon, rmctl):
    live = FeedAttempt(
        attempt_id=ATTEMPT, task_id="rm-abc12", project_id="toy", worker_id="w1", state="running", started_at=AT
    )
    daemon.answers["feed.subscribe"] = feed(
        [
            hello(),
            CursorExpired(reason="it is of another instance"),
            Snapshot(
                cursor="c9",
                generation=1,
                tasks_by_state={"open": 3, "running": 1, "done": 0},
                attempts=(live,),
                open_decisions=1,
            ),
            Mark(cursor="c9"),
        ],
        [
            Resync(
                cursor="c9", gaps=(Gap(attempt_id=ATTEMPT, job="agent", output="stdout", offset=0, next_offset=2048),)
            ),
            Bye(reason="stop", cursor="c9"),
        ],
    )
    ended = rmctl("events", "-f", "--after-cursor", "old")
    assert ended.out == ""
    assert ended.err.splitlines() == [
        "it cannot be gone on from that cursor: it is of another instance; going on from now",
        "as things stand: tasks: 3 open, 1 running; at work: rm-abc12/1; 1 question waits for a person",
        "too slow for it: left out 2,048 bytes of rm-abc12/1 stdout (rmctl logs has them)",
        "the daemon stops",
    ]


def test_ctrl_c_says_where_to_go_on(daemon, rmctl):
    daemon.answers["events.read"] = stored(1)

    is_over = threading.Event()

    def messages():
        yield [hello(), event(2), Mark(cursor="c2")]
        yield [Bye(reason="stop", cursor="eJ-here")]
        is_over.wait(30)

    daemon.answers["feed.subscribe"] = Stream("feed.messages", messages())
    process = rmctl.start("events", "-f")
    assert process.stdout is not None
    assert process.stderr is not None
    assert [process.stdout.readline().split(b"\t")[0] for _ in range(2)] == [b"1", b"2"]
    assert process.stderr.readline() == b"the daemon stops\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    is_over.set()
    assert (process.returncode, err) == (130, b"-- cursor: eJ-here\n\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--worker", "w1"], "--worker goes with -f alone"),
        (["-S", "stderr"], "--stream goes with -f alone"),
        (["--after-cursor", "eJx"], "a cursor that is no SEQ goes with -f alone"),
        (["-f", "-S", "stdin"], "there is no output 'stdin'"),
        (["-f", "--level", "important", "-n", "3"], "with --level nothing stored is shown"),
        (["-f", "--after-cursor", "eJx", "--since", "2h"], "with such a cursor nothing stored is shown"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(daemon, rmctl, options, words):
    ended = rmctl("events", *options)
    assert ended.code == 2
    assert words in ended.err
    assert daemon.calls == []


def test_logs_are_followed_over_a_restart_from_the_last_mark(daemon, rmctl):
    daemon.answers["feed.subscribe"] = [
        feed([hello(), lines(100, "one\n"), Mark(cursor="c1")], [lines(104, "tw", is_partial=True)], is_hung_up=True),
        feed([hello("c1"), event(3), lines(104, "two\n"), lines(108, "", is_end=True), Mark(cursor="c2")]),
    ]
    ended = rmctl("logs", "-f", "rm-abc12", "-S", "stdout", "-n", "1", "--show-cursor")
    assert (ended.code, ended.out, ended.err) == (0, "one\ntwo\n", "cursor: 108\n")
    first, second = daemon.called("feed.subscribe")
    assert (first.attempt_id, first.output, first.tail_lines) == ("rm-abc12", ("stdout",), 1)
    assert second.cursor == "c1"


def test_followed_steps_are_a_line_each(daemon, rmctl):
    steps = (LogStep(kind="tool", text="edit x.py"), LogStep(kind="text", text="done"))
    message = Steps(attempt_id=ATTEMPT, job="agent", offset=0, next_offset=9, steps=steps)
    daemon.answers["feed.subscribe"] = lambda params: feed([hello(), message, Mark(cursor="c1")])
    assert rmctl("logs", "-f", "rm-abc12", "-a", "1", "-S", "steps").out == "edit x.py\ndone\n"
    assert daemon.called("feed.subscribe")[0].attempt_id == "rm-abc12/1"
    kinds = [
        json.loads(line)["kind"]
        for line in rmctl("logs", "-f", "rm-abc12", "-S", "steps", "-o", "json").out.splitlines()
    ]
    assert kinds == ["hello", "steps", "mark"]


def test_without_a_stream_the_one_that_the_daemon_names_is_followed(daemon, rmctl):
    steps = (LogStep(kind="text", text="done"),)
    message = Steps(attempt_id=ATTEMPT, job="agent", offset=0, next_offset=9, steps=steps)
    daemon.answers["feed.subscribe"] = lambda params: feed([hello(), message, Mark(cursor="c1")])
    daemon.answers["logs.read"] = lambda params: LogChunk(
        attempt_id=ATTEMPT, stream="steps", job="agent", offset=9, next_offset=9, text="", data_base64="", is_end=False
    )
    assert rmctl("logs", "-f", "rm-abc12").out == "done\n"
    assert daemon.called("logs.read")[0].stream == ""
    assert daemon.called("feed.subscribe")[0].output == ("steps",)


def test_how_a_step_ended_is_in_its_words_and_in_red_on_a_terminal(daemon, rmctl):
    steps = (
        LogStep(kind="command", text="make", command="make", call_id="a", is_start=True),
        LogStep(
            kind="command", text="exit 3: make\n\x1b[2Jno", command="make", call_id="a", exit_code=3, is_failed=True
        ),
        LogStep(kind="command", text="exit 0: true", command="true", exit_code=0),
    )
    message = Steps(attempt_id=ATTEMPT, job="agent", offset=0, next_offset=9, steps=steps)
    daemon.answers["feed.subscribe"] = lambda params: feed([hello(), message, Mark(cursor="c1")])
    text = "".join(f"{step.text}\n" for step in steps)
    daemon.answers["logs.read"] = lambda params: LogChunk(
        attempt_id=ATTEMPT,
        stream="steps",
        job="agent",
        offset=0,
        next_offset=9,
        text=text,
        data_base64="",
        is_end=True,
        steps=steps,
    )
    plain = "make\nexit 3: make\n\\x1b[2Jno\nexit 0: true\n"
    red = "make\n\x1b[31mexit 3: make\x1b[0m\n\\x1b[2Jno\n\x1b[2mexit 0: true\x1b[0m\n"
    for options in (["-f"], []):
        words = ["logs", "rm-abc12", "-S", "steps", *options]
        assert rmctl.on_terminal(*words).out == red
        assert rmctl.on_terminal(*words, NO_COLOR="1").out == plain
        assert rmctl(*words).out == (plain if options else text), "in a pipe as the daemon says it"


def test_followed_output_cannot_steer_a_terminal(daemon, rmctl):
    daemon.answers["feed.subscribe"] = lambda params: feed([hello(), lines(0, "\x1b[2Jgone"), Mark(cursor="c1")])
    assert rmctl.on_terminal("logs", "-f", "rm-abc12", "-S", "stdout").out == "\\x1b[2Jgone\n"
    assert "\x1b[2J" not in rmctl.on_terminal("events", "-f", "-S", "stdout", "--after-cursor", "c").out


@pytest.mark.parametrize("options", [["--raw"], ["--since", "2h"], ["--after-cursor", "7"]])
def test_what_the_feed_has_not_is_followed_in_the_file(daemon, rmctl, options):
    daemon.answers["logs.follow"] = Stream("logs.chunk", [])
    assert rmctl("logs", "-f", "rm-abc12", *options).code == 0
    assert daemon.called("feed.subscribe") == []
