"""`/health` and `/metrics` of a real daemon, over HTTP, while a task lands."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import make_repository, steps, write_step


def get(daemon: LiveDaemon, path: str, token: str = "") -> tuple[int, bytes]:
    """Status and body."""
    port = json.loads((daemon.state / "stream.json").read_text())["port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def scrape(daemon: LiveDaemon) -> dict[str, float]:
    """Every sample by its name, whatever its labels, added up."""
    status, text = get(daemon, "/metrics", (daemon.state / "stream.token").read_text().strip())
    assert status == 200, text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_a_task_that_lands_is_in_the_metrics_and_an_estop_in_the_health(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repo")
    with open_daemon(tmp_path / "s") as daemon:
        before = scrape(daemon)
        assert "ringmaster_claims_total" not in before, "nothing has happened yet"
        daemon.call("project.add", path=str(repository), config={"gate": "true", "update_checkout": "clean"})
        daemon.call("worker.spawn", agent="scripted")
        write = steps(write_step("one.txt", "1\n"), {"do": "commit", "message": "Do it"})
        daemon.call("task.add", title="Do it", description=write)
        daemon.wait_for(lambda event: event["type"] == "task.landed")
        after = scrape(daemon)
        for name in ("claims_total", "attempts_ended_total", "tasks_ended_total", "gate_seconds_count"):
            assert after[f"ringmaster_{name}"] == 1, name
        assert after["ringmaster_store_batch_calls_total"] > before["ringmaster_store_batch_calls_total"]
        assert after["ringmaster_loop_turn_seconds_count"] > before["ringmaster_loop_turn_seconds_count"]
        assert get(daemon, "/metrics")[0] == 401

        status, body = get(daemon, "/health")
        said = json.loads(body)
        assert (status, said["state"], said["is_store_ok"]) == (200, "ok", True)
        (daemon.state / "ESTOP").touch()
        status, body = get(daemon, "/health")
        assert status == 503
        health = daemon.call("daemon.health")
        assert (json.loads(body)["state"], json.loads(body)["words"]) == (health["state"], health["words"])
        assert str(tmp_path).encode() not in body
        assert repository.name.encode() not in body
