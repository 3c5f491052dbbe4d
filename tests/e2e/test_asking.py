"""An agent asks: people are told, its seat is free for others, `why` says what it waits for, and the answer goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.e2e.operator import CONFIG, open_operator, write_step


def test_a_question_frees_the_seat_and_its_answer_goes_into_the_work(tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    with open_operator(tmp_path, is_started=False) as operator:
        daemon = operator.daemon
        (daemon.state / "config.toml").write_text(f'{CONFIG}on_decision = ["sh", "-c", "cat > {told}"]\n')
        daemon.start()
        project = operator.project()
        daemon.call("worker.spawn", agent="scripted", project_id=project.name)
        asks = {
            "do": "ask",
            "question": "Which colour?",
            "options": ["red", "blue"],
            "recommendation": "blue",
            "urgency": "high",
            "default_answer": "red",
            "default_after_s": 3600,
        }
        asking = project.add("Paint it", asks, write_step("colour.txt", "{answer}\n"))
        notice = json.loads(told.read_text())
        assert (notice["task_id"], notice["question"], notice["recommendation"]) == (asking, "Which colour?", "blue")
        assert notice["command"].endswith(f"decision answer {notice['id']} red|blue")
        # One seat, and it is free again.
        assert operator.ended(asking)["outcome"] == "needs_decision"
        operator.landed(project.add("Something else", write_step("else.txt", "1\n")))
        assert "Which colour?\thigh\tblue\tred in 59m" in operator.ok("decision", "list")
        why = operator.json("why", asking)
        assert [obstacle["kind"] for obstacle in why["obstacles"]] == ["decision"]
        opened = operator.event("decision.opened", asking)
        assert why["obstacles"][0]["seq"] == opened["seq"]
        page = operator.ok("why", asking)
        command = next(line for line in page.splitlines() if "decision answer" in line)
        assert command.endswith(f"decision answer {notice['id']} red|blue")
        operator.ok("decision", "answer", notice["id"], "blue", "-m", "as the sky")
        operator.landed(asking)
        prompt = (daemon.state / "attempts" / asking / "2" / "prompt.md").read_text()
        assert "Which colour?" in prompt
        assert "as the sky" in prompt
        assert "answered: blue" in operator.ok("logs", f"{asking}/2")
        done = operator.json("why", asking)
        assert done["obstacles"] == []
        assert (done["ending"]["outcome"], done["ending"]["attempt_id"]) == ("succeeded", f"{asking}/2")
