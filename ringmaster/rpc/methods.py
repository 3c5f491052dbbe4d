"""The method table, literally: what there is, whom it is for, and whether it changes anything."""

from __future__ import annotations

from typing import Any

from ringmaster.model.decision import Decision
from ringmaster.model.project import Project
from ringmaster.protocol import agent as agents
from ringmaster.protocol import attempt as attempts
from ringmaster.protocol import budget as budgets
from ringmaster.protocol import cost as costs
from ringmaster.protocol import daemon as daemons
from ringmaster.protocol import database as databases
from ringmaster.protocol import decision as decisions
from ringmaster.protocol import doctor as doctors
from ringmaster.protocol import event as events
from ringmaster.protocol import importing as imports
from ringmaster.protocol import measure as measurements
from ringmaster.protocol import order as orders
from ringmaster.protocol import project as projects
from ringmaster.protocol import rollout as rollouts
from ringmaster.protocol import task as tasks
from ringmaster.protocol import why as whys
from ringmaster.protocol import worker as workers
from ringmaster.rpc.dispatch import Method
from ringmaster.rpc.handlers import (
    agent,
    attempt,
    budget,
    cost,
    daemon,
    database,
    decision,
    doctor,
    event,
    logs,
    order,
    project,
    reload,
    rollout,
    task,
    why,
    worker,
)
from ringmaster.rpc.rights import Right

# A table is read by its columns.
# fmt: off
NONE, READ, OPERATE, ATTEMPT = Right.NONE, Right.READ, Right.OPERATE, Right.ATTEMPT

METHODS: tuple[Method[Any, Any], ...] = (
    Method("project.add", projects.ProjectAddParams, Project, project.add,
           OPERATE, is_mutating=True, summary="Take a git repository on: mark it as ours, copy it, store it."),
    Method("project.list", projects.ProjectListParams, projects.ProjectList, project.list_,
           READ, is_mutating=False, summary="All projects by name."),
    Method("project.show", projects.ProjectShowParams, Project, project.show,
           READ, is_mutating=False, summary="One project with its settings."),
    Method("project.edit", projects.ProjectEditParams, Project, project.edit,
           OPERATE, is_mutating=True, summary="Change a project's settings, target or state."),
    Method("project.remove", projects.ProjectRemoveParams, projects.Removed, project.remove,
           OPERATE, is_mutating=True, summary="Give a repository back; its tasks stay as history."),
    Method("task.add", tasks.TaskAddParams, tasks.TaskChanged, task.add,
           OPERATE, is_mutating=True, summary="Put a task on the queue."),
    Method("task.list", tasks.TaskListParams, tasks.TaskList, task.list_,
           READ, is_mutating=False, summary="A page of tasks by project, state and label."),
    Method("task.ready", tasks.TaskReadyParams, tasks.TaskList, task.ready,
           READ, is_mutating=False, summary="What the next free seats would get, in that order."),
    Method("task.order", orders.TaskOrderParams, orders.TaskOrder, order.order,
           READ, is_mutating=False, summary="The same with what makes each rank, term by term."),
    Method("task.graph", orders.TaskGraphParams, orders.TaskGraph, order.graph,
           READ, is_mutating=False, summary="What waits for what: the critical path, and what can run side by side."),
    Method("task.show", tasks.TaskIdParams, tasks.TaskDetail, task.show,
           READ, is_mutating=False, summary="All about one task, and what comes next."),
    Method("task.why", tasks.TaskIdParams, whys.TaskWhy, why.why,
           READ, is_mutating=False, summary="Why a task is not worked on, what it does, or why it ended."),
    Method("task.edit", tasks.TaskEditParams, tasks.TaskChanged, task.edit,
           OPERATE, is_mutating=True, summary="Change fields of a task, or open a draft."),
    Method("task.dep", tasks.TaskDepParams, tasks.TaskChanged, task.dep,
           OPERATE, is_mutating=True, summary="Change what a task waits for; a cycle is refused and named."),
    Method("task.cancel", tasks.TaskCancelParams, tasks.TaskChanged, task.cancel,
           OPERATE, is_mutating=True, summary="Cancel a task, or ask for its live attempt to be ended."),
    Method("task.retry", tasks.TaskRetryParams, tasks.TaskChanged, task.retry,
           OPERATE, is_mutating=True, summary="Put a task on the queue now, its attempts uncounted."),
    Method("task.wait", tasks.TaskWaitParams, tasks.TaskWaited, task.wait,
           READ, is_mutating=False, summary="Answer when a task has ended or needs a person."),
    Method("task.diff", tasks.TaskIdParams, tasks.TaskDiff, task.diff,
           READ, is_mutating=False, summary="What the newest attempt changed, as git prints it."),
    Method("task.accept", tasks.TaskAcceptParams, tasks.TaskChanged, task.accept,
           OPERATE, is_mutating=True, summary="Let waiting work go on to gate and landing."),
    Method("task.reject", tasks.TaskRejectParams, tasks.TaskChanged, task.reject,
           OPERATE, is_mutating=True, summary="Send waiting work back with words."),
    Method("task.import", imports.TaskImportParams, imports.TaskImported, task.import_,
           OPERATE, is_mutating=True, summary="Take over another system's tasks with their ids, in one transaction."),
    Method("worker.spawn", workers.WorkerSpawnParams, workers.WorkerList, worker.spawn,
           OPERATE, is_mutating=True, summary="Make seats that run agents."),
    Method("worker.list", workers.WorkerListParams, workers.WorkerList, worker.list_,
           READ, is_mutating=False, summary="All seats and what each does."),
    Method("worker.show", workers.WorkerIdParams, workers.WorkerView, worker.show,
           READ, is_mutating=False, summary="One seat."),
    Method("worker.wait", workers.WorkerWaitParams, workers.WorkerWaited, worker.wait,
           READ, is_mutating=False, summary="Answer when a task may be pulled for a seat."),
    Method("worker.start", workers.WorkerSetParams, workers.WorkerList, worker.start,
           OPERATE, is_mutating=True, summary="Let seats take tasks again."),
    Method("worker.pause", workers.WorkerSetParams, workers.WorkerList, worker.pause,
           OPERATE, is_mutating=True, summary="Let seats finish what they have and take nothing more."),
    Method("worker.stop", workers.WorkerSetParams, workers.WorkerList, worker.stop,
           OPERATE, is_mutating=True, summary="Interrupt what seats have; their tasks go back on the queue."),
    Method("worker.remove", workers.WorkerSetParams, workers.WorkerList, worker.remove,
           OPERATE, is_mutating=True, summary="Remove stopped seats."),
    Method("agent.list", daemons.EmptyParams, agents.AgentList, agent.list_,
           READ, is_mutating=False, summary="Agents there are: installed, version, who pays, whose limit holds."),
    Method("agent.test", agents.AgentTestParams, agents.AgentTested, agent.test,
           OPERATE, is_mutating=True, summary="One tiny real run of an agent, which costs a few words."),
    Method("cost.list", costs.CostListParams, costs.CostList, cost.list_,
           READ, is_mutating=False, summary="What attempts cost, by model, agent, day and task."),
    Method("budget.show", budgets.BudgetShowParams, budgets.BudgetList, budget.show,
           READ, is_mutating=False, summary="Budgets of attempts and dollars, and what was spent of them today."),
    Method("budget.set", budgets.BudgetSetParams, budgets.BudgetView, budget.set_,
           OPERATE, is_mutating=True, summary="Change what a project, or all of them, may have in a day."),
    Method("attempt.list", attempts.AttemptListParams, attempts.AttemptList, attempt.list_,
           READ, is_mutating=False, summary="Attempts, the newest first."),
    Method("attempt.show", attempts.AttemptIdParams, attempts.AttemptView, attempt.show,
           READ, is_mutating=False, summary="One attempt with where its work and its logs lie."),
    Method("attempt.pull", attempts.AttemptPullParams, attempts.AttemptPulled, attempt.pull,
           OPERATE, is_mutating=True, summary="Take the next task to work on it by hand, under a lease."),
    Method("attempt.prompt", attempts.AttemptTokenParams, attempts.AttemptPrompt, attempt.prompt,
           READ, is_mutating=False, summary="The prompt of an attempt, for who has its token."),
    Method("attempt.heartbeat", attempts.AttemptHeartbeatParams, attempts.AttemptHeartbeat, attempt.heartbeat,
           ATTEMPT, is_mutating=True, summary="Say that whoever pulled an attempt lives: its lease begins anew."),
    Method("attempt.report", attempts.AttemptReportParams, attempts.AttemptReported, attempt.report,
           ATTEMPT, is_mutating=True, summary="An attempt says how it went; a signal, never the verdict."),
    Method("attempt.ask", attempts.AttemptAskParams, attempts.AttemptReported, attempt.ask,
           ATTEMPT, is_mutating=True, summary="An attempt asks a person; its task waits once it has ended."),
    Method("logs.read", attempts.LogsReadParams, attempts.LogChunk, logs.read,
           READ, is_mutating=False, summary="Output of an attempt's job, at exact offsets."),
    Method("logs.follow", attempts.LogsFollowParams, attempts.Following, logs.follow,
           READ, is_mutating=False, summary="Stream output as `logs.chunk` notifications until the job ends."),
    Method("logs.unfollow", events.UnsubscribeParams, events.Unsubscribed, logs.unfollow,
           READ, is_mutating=False, summary="End a stream that `logs.follow` began on this connection."),
    Method("decision.list", decisions.DecisionListParams, decisions.DecisionList, decision.list_,
           READ, is_mutating=False, summary="Questions to a person, the most urgent first."),
    Method("decision.show", decisions.DecisionIdParams, Decision, decision.show,
           READ, is_mutating=False, summary="One question with its evidence."),
    Method("decision.answer", decisions.DecisionAnswerParams, decisions.DecisionAnswered, decision.answer,
           OPERATE, is_mutating=True, summary="A person's answer, and what it does."),
    Method("events.read", events.EventsReadParams, events.EventPage, event.read,
           READ, is_mutating=False, summary="A page of events after a cursor, or the newest."),
    Method("events.subscribe", events.EventsSubscribeParams, events.Subscribed, event.subscribe,
           READ, is_mutating=False, summary="Stream events from a cursor as `events.event`, no gap, no double."),
    Method("events.unsubscribe", events.UnsubscribeParams, events.Unsubscribed, event.unsubscribe,
           READ, is_mutating=False, summary="End a stream that `events.subscribe` began on this connection."),
    Method("daemon.status", daemons.EmptyParams, daemons.Status, daemon.status,
           READ, is_mutating=False, summary="One screen: the daemon, the queue, the workers, what needs a person."),
    Method("daemon.health", daemons.EmptyParams, daemons.Health, daemon.health,
           NONE, is_mutating=False, summary="How the process is; asks nothing of the store."),
    Method("daemon.version", daemons.EmptyParams, daemons.Version, daemon.version,
           NONE, is_mutating=False, summary="Versions of the software, the wire, the schema, and of what it runs on."),
    Method("daemon.measures", daemons.EmptyParams, measurements.Measures, daemon.measures,
           READ, is_mutating=False, summary="How long calls and statements took since the daemon began."),
    Method("daemon.stop", daemons.StopParams, daemons.Stopping, daemon.stop,
           OPERATE, is_mutating=True, summary="Ask the daemon to end; agents go on unless told otherwise."),
    Method("daemon.keep", daemons.KeepParams, daemons.KeepResult, daemon.keep,
           OPERATE, is_mutating=True, summary="See to it that a keeper watches the daemon."),
    Method("daemon.gc", daemons.GcParams, daemons.GcResult, daemon.gc,
           OPERATE, is_mutating=True, summary="Remove what has been kept long enough, or say what would go."),
    Method("daemon.config_check", daemons.EmptyParams, daemons.ConfigCheckResult, daemon.config_check,
           READ, is_mutating=False, summary="Whether the settings file is valid and what the daemon runs with."),
    Method("reload.request", rollouts.ReloadRequestParams, rollouts.ReloadAnswer, reload.request,
           OPERATE, is_mutating=True, summary="Look for newer code of the daemon now, or say what would be taken."),
    Method("rollout.status", daemons.EmptyParams, rollouts.RolloutStatus, rollout.status,
           READ, is_mutating=False, summary="Which generation runs, what is on its way, and how the last reload went."),
    Method("rollout.history", rollouts.RolloutHistoryParams, rollouts.RolloutHistory, rollout.history,
           READ, is_mutating=False, summary="Generations side by side: what their gates showed, what they did."),
    Method("rollout.undo", rollouts.RolloutUndoParams, rollouts.ReloadAnswer, rollout.undo,
           OPERATE, is_mutating=True, summary="Go back to a good generation."),
    Method("database.backup", databases.DatabaseBackupParams, databases.DatabaseCopy, database.backup,
           OPERATE, is_mutating=True, summary="Copy the database while it is used; nothing is overwritten."),
    Method("database.check", databases.DatabaseCheckParams, databases.DatabaseFacts, database.check,
           READ, is_mutating=False, summary="Look through the whole database: pages, indexes, references."),
    Method("doctor.examine", doctors.DoctorParams, doctors.Examination, doctor.examine,
           READ, is_mutating=False, summary="Look everything over: each finding with the command that mends it."),
    Method("doctor.mend", doctors.MendParams, doctors.Mended, doctor.mend,
           OPERATE, is_mutating=True, summary="Mend what is safe to mend; nothing that holds work is touched."),
)
# fmt: on
