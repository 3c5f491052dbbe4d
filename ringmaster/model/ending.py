"""How an agent or a person ends their work: the words that a prompt closes with and that `rmctl prime` prints. Pure."""

from __future__ import annotations

DEFAULT_LEASE_S = 1800.0
"""How long whoever pulls a task may be silent, if they say nothing else."""

RESULT_LINE = '{"type": "result", "status": "succeeded", "summary": "what was done"}'
ASK_LINE = (
    '{"jsonrpc": "2.0", "id": 1, "method": "attempt.ask", "params": '
    '{"attempt_id": "$RM_ATTEMPT", "token": "$RM_TOKEN", "question": "…", "options": ["…", "…"]}}'
)
UNKNOWN_PROTECTED = "whatever the gate runs from (build files, test settings, lock files, CI)"
LEAVE = (
    "- Leave your changes in the workspace, committed or not: both are taken. Do not push, do not change branches of "
    "other repositories."
)


def how_to_end(*, lease_s: float, protected: str = UNKNOWN_PROTECTED) -> str:
    """How to end, and how to ask, as a list.

    lease_s: of one who works by hand and reports by `rmctl`; 0 for an agent below a shim, whose end is seen.
    protected: the patterns whose change waits for a person, in words.
    """
    care = (
        "- A change to a protected file waits for a person: leave these alone unless the task is about them: "
        f"{protected}."
    )
    return _by_hand(lease_s, care) if lease_s > 0 else _by_exiting(care)


def _by_exiting(care: str) -> str:
    return f"""\
{LEAVE}
- End by exiting. If you can choose your last line of output, make it {RESULT_LINE} with status succeeded, failed \
or needs_decision. It is a signal; the gate decides.
{care}
- What only a person can decide: ask, then end. Either by a last line with status needs_decision and a "question" \
(and "options"), or by one line to the Unix socket $RMCTL_SOCKET, with the variables filled in: {ASK_LINE} \
The answer is in the next attempt's prompt.
- The environment says who you are: RM_TASK, RM_ATTEMPT, RM_ATTEMPT_NUMBER, RM_TOKEN (a secret: never write it \
into a file or log), RM_WORKSPACE, RM_PROMPT_FILE, RMCTL_SOCKET."""


def _by_hand(lease_s: float, care: str) -> str:
    return f"""\
{LEAVE}
- End with one report, from inside the workspace: `rmctl report -m 'what was done'`. If it could not be done: \
`rmctl report --outcome failed -m 'why'`. To hand it back undone: `rmctl report --outcome interrupted -m 'why'`. \
It is a signal; the gate decides. Change nothing in the workspace after it.
{care}
- What only a person can decide: `rmctl ask 'the question' --option A --option B`, then \
`rmctl report --outcome needs_decision`. The answer is in the next attempt's prompt (`rmctl prompt`).
- Say `rmctl heartbeat` at least every {lease_s:g} s. When you have been silent for longer the task is given to \
somebody else, your report is refused, and what you did stays in this workspace.
- The file .git/ringmaster-attempt.json of the workspace says who you are, with your token (a secret: never write it \
into another file or log). From elsewhere: --attempt and --token, or RM_ATTEMPT and RM_TOKEN."""
