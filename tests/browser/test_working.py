"""What a person does with the page all day: adds a task and sees it land, answers, looks at what failed."""

from __future__ import annotations

import re

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.tab import Tab
from tests.browser.views import go
from tests.e2e.operator import Operator, write_step
from tests.fakes.house import steps

QUESTION = "Which colour shall the door have?"


def add_on_the_page(tab: Tab, project: str, title: str, description: str) -> None:
    """Fill in the form for a new task and send it."""
    tab.page.get_by_role("button", name=re.compile("^Add")).first.click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("Title").fill(title)
    dialog.get_by_label("Project").select_option(project)
    dialog.get_by_label("Description").fill(description)
    dialog.get_by_role("button", name=re.compile("^Add")).click()
    expect(dialog).to_have_count(0)


def test_a_task_is_added_worked_on_and_landed(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    tab = open_page()
    go(tab, "#/board")
    recorded = steps({"do": "say", "text": "painting"}, write_step("door.txt", "a blue door\n"))
    add_on_the_page(tab, project.name, "Paint the door blue", recorded)
    tab.page.get_by_role("link", name=re.compile("Paint the door blue")).first.click()
    heading = tab.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Paint the door blue")
    main = tab.page.get_by_role("main")
    expect(main.get_by_text(re.compile(r"^landed, commit"))).to_be_visible()
    assert project.git("show", "main:door.txt") == "a blue door"
    tab.page.get_by_role("tab", name="Diff").click()
    expect(main.get_by_text("a blue door")).to_be_visible()
    tab.page.get_by_role("tab", name="Gate").click()
    expect(main.get_by_text("green").first).to_be_visible()
    tab.page.get_by_role("tab", name="Log").click()
    expect(main.get_by_text("painting")).to_be_visible()


def test_a_question_is_answered_and_the_work_goes_on(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    task_id = project.add(
        "Paint it", {"do": "ask", "question": QUESTION, "options": ["green", "red"]}, write_step("door.txt", "done\n")
    )
    operator.event("decision.opened", task_id)
    tab = open_page()
    question = tab.page.get_by_role("article").filter(has_text=QUESTION)
    question.get_by_role("button", name="red", exact=True).click()
    expect(question).to_have_count(0)
    detail = operator.landed(task_id)
    assert [(one["question"], one["answer"]) for one in detail["decisions"]] == [(QUESTION, "red")]


def test_a_question_that_comes_while_one_looks_is_there_without_reloading(
    operator: Operator, open_page: OpenPage
) -> None:
    project = operator.project()
    tab = open_page()
    expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    task_id = project.add("Ask later", {"do": "ask", "question": "Does it come by itself?", "options": ["yes", "no"]})
    question = tab.page.get_by_role("article").filter(has_text="Does it come by itself?")
    expect(question).to_be_visible()
    opened = operator.detail(task_id)["decisions"][0]["id"]
    operator.daemon.call("decision.answer", id=opened, answer="yes")
    expect(question).to_have_count(0)


def test_a_failed_gate_is_shown_with_its_words_and_tried_again(operator: Operator, open_page: OpenPage) -> None:
    # By what is in them: a file that the gate names itself would ask a person before it lands.
    project = operator.project(gate="grep -rqs tiles . || ! grep -rs walls . || { echo the roof is missing; false; }")
    task_id = project.add("Build a house", write_step("house.txt", "walls\n"), max_attempts=1)
    operator.settled(task_id)
    tab = open_page()
    main = tab.page.get_by_role("main")
    expect(main.get_by_text("Build a house").first).to_be_visible()
    go(tab, f"#/task/{task_id}/gate")
    expect(main.get_by_text("red").first).to_be_visible()
    expect(main.get_by_text("the roof is missing").first).to_be_visible()
    project.commit("Add a roof by hand", **{"roof.txt": "tiles\n"})
    main.get_by_role("button", name="Retry").click()
    # The base was green all along, and the task is over until the daemon has heard of it.
    operator.event("task.landed", task_id)
    expect(main.get_by_text("green").first).to_be_visible()
    operator.landed(task_id)


def test_work_that_a_person_must_see_lands_once_it_is_accepted(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project(approve="ask")
    task_id = project.add("Paint the fence", write_step("fence.txt", "white\n"))
    operator.event("decision.opened", task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}/diff")
    expect(tab.page.get_by_role("main").get_by_text("white")).to_be_visible()
    tab.page.get_by_role("button", name="Accept", exact=True).click()
    operator.landed(task_id)
    assert project.git("show", "main:fence.txt") == "white"


def test_a_running_task_is_cancelled_after_it_was_asked(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    task_id = project.add("Never ends", {"do": "hang"})
    operator.event("attempt.started", task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}")
    tab.page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel the task").click()
    expect(tab.page.get_by_role("main").get_by_text("cancelled").first).to_be_visible()
    assert operator.settled(task_id)["view"]["task"]["state"] == "cancelled"
