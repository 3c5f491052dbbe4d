"""From a landing to the daemon's own code: which generation has it, how that ended, the proof, and the way back."""

from __future__ import annotations

import subprocess

from ringmaster.client import Client
from ringmaster.model.errors import EXIT_CODES, ErrorKind, RingmasterError
from ringmaster.protocol.decision import DecisionList, DecisionListParams
from ringmaster.protocol.rollout import ReloadAnswer, ReloadRequestParams, RolloutStatus
from ringmaster.selfhost import clone as cloning
from ringmaster.selfhost.follow import Follower
from ringmaster.selfhost.preparing import Site
from ringmaster.selfhost.rollout import Rollout
from ringmaster.selfhost.screen import Screen

REFUSED = EXIT_CODES[ErrorKind.REFUSED]
FAILED = EXIT_CODES[ErrorKind.INTERNAL]
DIFF_LINES = 40


def find_unsettled(client: Client) -> str:
    """What an earlier run's landing waits for before it is live, in words; '' when there is nothing to wait for.

    Raises:
        RingmasterError: the daemon could not be reached any more.
    """
    status = _status(client)
    if not status.running:
        return ""
    if status.decision_id:
        return f"generation {status.candidate} waits for a person"
    if status.candidate:
        return f"generation {status.candidate} of an earlier run is on its way: {status.step}"
    if status.running != status.good:
        return f"generation {status.running} of an earlier run is on probation"
    answer = look(client)
    return f"{answer.words} is newer than what runs, and not tried yet" if answer.state == "looked" else ""


def look(client: Client) -> ReloadAnswer:
    """What the daemon would take if it looked now. In place it takes nothing; the words then say so.

    Raises:
        RingmasterError: the daemon could not be reached any more.
    """
    try:
        return client.call("reload.request", ReloadRequestParams(is_dry_run=True), ReloadAnswer, is_repeatable=True)
    except RingmasterError as error:
        if error.kind is ErrorKind.UNREACHABLE:
            raise
        return ReloadAnswer(state="paused", words=error.message, running=0)


def follow_to_live(
    site: Site, client: Client, screen: Screen, commit: str, *, shown: int = 0, landed_at: float = 0.0
) -> int:
    """Follow what becomes of a commit of the self project until it is live or is not to be; say how that ended.

    shown: the last event that was told already. landed_at: when it landed, 0 where that was an earlier run's affair.
    Returns the exit status: 0 live, 6 its gate or a person is in the way, 1 it failed on trial.
    """
    # Before the history is read: what was found then has its events by now.
    found = look(client)
    rollout = Rollout(lambda made: _contains(site, made, commit))
    follower = Follower(site.connect, screen, rollout, shown)
    follower.catch_up()
    # An earlier run told it; and since then a person may have gone back from it.
    is_old = not landed_at and rollout.end == "live" and found.state == "nothing_new"
    if not is_old and (rollout.generation or found.state == "looked"):
        status = _status(client)
        if rollout.generation or status.is_watching:
            follower.follow()
        else:
            rollout.end, rollout.reason = "put_off", status.words
        screen.words()
        if rollout.end == "live":
            _tell_live(site, screen, rollout, commit, landed_at)
            return 0
        return _tell_not_live(site, client, screen, rollout)
    screen.words()
    if found.words.startswith(f"generation {found.running} is what there is"):
        screen.words(f"The daemon runs that already: {found.words}.")
        return 0
    screen.words(f"What landed is not live: {found.words}.")
    screen.fact("look", f"{site.rmctl} rollout status")
    return REFUSED


def _status(client: Client) -> RolloutStatus:
    return client.call("rollout.status", None, RolloutStatus, is_repeatable=True)


def _contains(site: Site, made: str, commit: str) -> bool:
    try:
        return bool(made) and cloning.contains(site.repository, made, commit)
    except RingmasterError:
        # The branch began anew since, and git has forgotten what that generation was made of.
        return False


def _tell_live(site: Site, screen: Screen, rollout: Rollout, commit: str, landed_at: float) -> None:
    number = rollout.generation
    screen.words(f"generation {number} is live: the daemon itself runs what landed, in the same process as before.")
    took = ", ".join(f"{part.name} {part.wall_s:.1f} s" for part in rollout.parts())
    if landed_at and rollout.good_at:
        took += f"; {rollout.good_at - landed_at:.1f} s from the branch to good"
    screen.fact("took", took)
    show = ("show", "--stat", "--patch", "--diff-merges=first-parent", "--format=")
    screen.fact("diff", f"git -C {site.repository} {' '.join(show)} {commit[:12]}")
    lines = cloning.git(site.repository, *show, commit).splitlines()
    for line in lines[:DIFF_LINES]:
        screen.detail(line)
    if len(lines) > DIFF_LINES:
        screen.detail(f"… {len(lines) - DIFF_LINES} more lines")
    screen.fact("proof", f"{site.rmctl} version")
    argv = [str(site.checkout / "bin" / "rmctl"), "-s", site.paths.name, "version"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    for line in (done.stdout or done.stderr).splitlines():
        screen.detail(line)
    screen.fact("back", f"{site.rmctl} rollout undo --wait; all there were: {site.rmctl} rollout history")


def _tell_not_live(site: Site, client: Client, screen: Screen, rollout: Rollout) -> int:
    name, reason = f"generation {rollout.generation or 'of it'}", rollout.reason.strip().partition("\n")[0]
    running = _status(client).running
    serves = f"Generation {running} goes on serving." if running else "The daemon goes on as it was."
    words = {
        "refused": f"{name} is refused by its gate: {reason}",
        "failed": f"{name} failed on trial: {reason}",
        "asks": f"{name} waits for a person: {reason}",
        "put_off": f"{name} is put off: {reason}",
        "superseded": f"{name} is dropped: {reason}",
    }[rollout.end or "superseded"]
    screen.words(f"What landed is not live: {words}. {serves}")
    if rollout.end == "put_off":
        screen.fact("next", "it is tried again by itself; follow it: make selfhost")
        screen.fact("", f"now: {site.rmctl} reload --wait")
    elif rollout.end == "superseded":
        screen.fact("next", "the newer one holds it too, or took it back; follow that: make selfhost")
    elif rollout.end in ("refused", "failed"):
        screen.fact("next", "mend it in this checkout and commit; then make selfhost brings it to the clone")
    screen.fact("look", f"{site.rmctl} rollout history")
    tell_decisions(site, client, screen, site.project_id)
    return FAILED if rollout.end == "failed" else REFUSED


def tell_decisions(site: Site, client: Client, screen: Screen, project_id: str, task_id: str = "") -> None:
    """The open questions about a project, and about a task of it, with the commands that answer them."""
    listed = client.call("decision.list", DecisionListParams(), DecisionList, is_repeatable=True)
    for decision in listed.decisions:
        if decision.task_id != task_id if decision.task_id else decision.project_id != project_id:
            continue
        screen.fact("decision", f"{decision.id}: {decision.question}")
        screen.fact("look", f"{site.rmctl} decision show {decision.id}")
        if not decision.task_id and site.is_clone and decision.kind not in ("release", "bad_release"):
            # What resumes is gated on the clone's commit, and only a run of this program brings that forward.
            screen.fact("mend", "commit it in this checkout, then make selfhost brings it to the clone; then answer")
        choices = "|".join(decision.options) or "WORDS"
        screen.fact("answer", f"{site.rmctl} decision answer {decision.id} {choices}; then again: make selfhost")
