"""The client against a server that answers as the real one does, and loses connections when it is told to."""

from __future__ import annotations

import errno
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from served import TOKEN, Served

import graphengine
from graphengine.client import Client, messages, plain
from graphengine.errors import (
    Conflict,
    GraphEngineError,
    NotFound,
    OverLimit,
    ServerError,
    Unreachable,
    WorkflowError,
)
from graphengine.workflow import Workflow

SUM: dict[str, Any] = {
    "format": 1,
    "name": "Sum",
    "inputs": {"first": "one.first", "factor": "two.second"},
    "outputs": {"result": "two.value"},
    "nodes": {
        "one": {"type": "number.add", "inputs": {"first": 1, "second": 2}},
        "two": {"type": "number.multiply", "inputs": {"first": {"link": "one.value"}, "second": 10}},
    },
}
PICTURE = {
    "format": 1,
    "nodes": {
        "red": {"type": "image.solid", "inputs": {"width": 8, "height": 8}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "red.image"}}},
    },
}
BAD: dict[str, Any] = {
    "format": 1,
    "outputs": {"value": "bad.value"},
    "nodes": {"bad": {"type": "number.divide", "inputs": {"first": 1, "second": 0}}},
}


@pytest.fixture(scope="module")
def server(served: Served) -> Served:
    return served


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    client = Client(server.url, TOKEN, patience=5.0)
    yield client
    assert server.failures == []
    client.resume()


@pytest.fixture
def paused(client: Client) -> Client:
    client.pause()
    return client


def test_the_example_of_the_module_does_what_it_says(client: Client, tmp_path: Path) -> None:
    job = client.submit(PICTURE)
    assert job["state"] in ("queued", "running", "done")
    ended = client.wait(job)
    assert (ended["state"], ended["error"]) == ("done", "")
    (output,) = client.outputs(job)
    path = client.download(output, tmp_path)
    assert path.parent == tmp_path
    assert path.name == output["name"]
    with Image.open(path) as image:
        assert image.size == (8, 8)
    assert graphengine.Client is Client


# What may be submitted


def test_a_workflow_is_given_as_data_a_file_a_name_or_as_it_was_read(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "sum.json"
    file.write_text(json.dumps(SUM))
    for source in (SUM, file, str(file), Workflow.of(SUM)):
        job = client.wait(client.submit(source, {"first": 3}))
        assert (job["result"], job["name"]) == ({"result": 50}, "Sum")
        assert job["inputs"] == {"first": 3, "factor": 10}
    client.pause()
    job = client.submit("text_to_image", priority=4, targets=["save"])
    found = client.job(job["id"])
    assert (found["name"], found["priority"], found["targets"]) == ("Text to image", 4, ["save"])
    assert client.cancel(found)["state"] == "cancelled"


def test_the_problems_of_a_workflow_come_as_they_are(client: Client) -> None:
    nodes = {"a": {"type": "number.add", "inputs": {"first": "x"}}, "b": {"type": "no.such"}}
    with pytest.raises(WorkflowError) as refused:
        client.submit({"format": 1, "nodes": nodes})
    there = {(problem.node, problem.input) for problem in refused.value.problems}
    assert there == {("a", "first"), ("a", "second"), ("b", "")}
    assert client.check({"format": 1, "nodes": nodes}) == list(refused.value.problems)
    assert client.check(SUM) == []


def test_what_is_no_workflow_is_told_before_it_is_sent(
    client: Client, server: Served, tmp_path: Path
) -> None:
    before = len(server.asked)
    (tmp_path / "bad.json").write_text('{"format": 1, "nodes": {"a": 1, "a": 2}}')
    with pytest.raises(WorkflowError, match="a"):
        client.submit(tmp_path / "bad.json")
    assert client.check(tmp_path / "bad.json")
    with pytest.raises(WorkflowError):
        client.submit("nowhere.json")
    with pytest.raises(GraphEngineError, match="only plain JSON values"):
        client.submit(SUM, {"first": float("nan")})
    assert len(server.asked) == before


# Jobs and the queue


def test_jobs_are_listed_over_all_pages_newest_first(
    paused: Client, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.client.PAGE", 2)
    ids = [paused.submit(SUM)["id"] for _ in range(5)]
    before = server.asked.count("GET /api/jobs")
    assert [job["id"] for job in paused.jobs(["queued"])] == ids[::-1]
    assert server.asked.count("GET /api/jobs") - before == 3
    for id in ids:
        paused.cancel(id)
    assert {job["state"] for job in paused.jobs(["cancelled"])} == {"cancelled"}


def test_a_job_is_moved_prioritised_pinned_retried_and_removed(paused: Client) -> None:
    first, second, third = (paused.submit(SUM)["id"] for _ in range(3))
    paused.move(third, "front")
    paused.move(first, "after", second)
    assert [job["id"] for job in paused.queue()["waiting"]] == [third, second, first]
    assert paused.prioritise(first, 7)["priority"] == 7
    assert paused.queue()["waiting"][0]["id"] == first
    assert paused.pin(second)["pinned"]
    assert not paused.pin(second, on=False)["pinned"]
    with pytest.raises(Conflict, match="cancel it first"):
        paused.remove(first)
    with pytest.raises(OverLimit, match="priority: Input should be less"):
        paused.prioritise(first, 5000)
    for id in (first, second, third):
        paused.cancel(id)
    assert paused.retry(first)["state"] == "queued"
    assert paused.queue()["paused"]
    assert not paused.resume()["paused"]
    assert paused.wait(first)["state"] == "done"
    paused.remove(first)
    with pytest.raises(NotFound, match="there is no job"):
        paused.job(first)


def test_waiting_has_an_end(paused: Client) -> None:
    job = paused.submit(SUM)
    with pytest.raises(TimeoutError, match=r"is queued after 0.05 seconds"):
        paused.wait(job, timeout=0.05)
    paused.resume()
    assert paused.wait(job, timeout=60)["state"] == "done"
    failed = paused.wait(paused.submit(BAD))
    assert failed["state"] == "failed"
    assert "bad" in failed["error"]


def test_plans_nodes_workflows_and_health_are_told(client: Client) -> None:
    planned = client.plan(SUM, {"first": 12345}, ["one"])
    assert set(planned) == {"steps", "cached", "skipped"}
    assert planned["steps"] == ["one"]
    assert "number.add" in {each["id"] for each in client.nodes()["types"]}
    assert "text_to_image" in {each["name"] for each in client.workflows()}
    assert client.workflow("text_to_image")["name"] == "Text to image"
    with pytest.raises(NotFound, match=r"there is no workflow '\.\./x'"):
        client.workflow("../x")
    assert client.health()["ready"] is True


# Events


def test_the_events_of_a_job_come_in_order_and_end_with_it(client: Client) -> None:
    job = client.submit(SUM, {"first": 100})
    entries = list(client.events(job))
    kinds = [entry["event"]["event"] for entry in entries]
    assert kinds[0] == kinds[-1] == "job"
    assert "run_planned" in kinds
    assert [entry["sequence"] for entry in entries] == sorted({entry["sequence"] for entry in entries})
    assert {entry["job"] for entry in entries} == {job["id"]}
    assert entries == list(client.past(job))
    assert list(client.events(job, since=entries[3]["sequence"])) == entries[4:]
    assert list(client.events(job, since=entries[-1]["sequence"])) == []


def test_events_go_on_after_lost_connections_each_once(client: Client, server: Served) -> None:
    job = client.submit(SUM, {"first": 200})
    server.fail(f"GET /api/jobs/{job['id']}/events", "cut", "deaf", "cut")
    entries = list(client.events(job))
    assert entries == list(client.past(job))
    assert len(entries) > 5
    assert entries[-1]["event"]["state"] == "done"


def test_events_of_a_job_that_was_retried_go_on_to_its_last_end(paused: Client, server: Served) -> None:
    job = paused.submit(SUM, {"first": 300})
    paused.cancel(job)
    paused.retry(job)
    server.fail(f"GET /api/jobs/{job['id']}/events", "cut")  # just after the first end
    threading.Timer(0.1, paused.resume).start()
    states = [e["event"]["state"] for e in paused.events(job) if e["event"]["event"] == "job"]
    assert states == ["queued", "cancelled", "queued", "running", "done"]


def test_events_wait_for_a_server_that_is_away_and_not_for_ever(paused: Client, server: Served) -> None:
    job = paused.submit(SUM, {"first": 400})
    seen = paused.events(job)
    assert next(seen)["event"]["state"] == "queued"
    server.close()
    with pytest.raises(Unreachable):
        list(Client(server.url, TOKEN, patience=0.0).events(job))
    with pytest.raises(Unreachable):
        Client(server.url, TOKEN, patience=0.0).wait(job)
    Client(server.behind, TOKEN).resume()
    threading.Timer(0.3, server.open, [server.port]).start()
    assert list(seen)[-1]["event"]["state"] == "done"
    assert paused.wait(job)["state"] == "done"


def test_a_job_of_which_nothing_is_heard_for_long_is_still_followed(paused: Client, server: Served) -> None:
    job = paused.submit(SUM, {"first": 500})
    short = Client(server.url, TOKEN, timeout=0.2, patience=0.1)
    threading.Timer(0.7, paused.resume).start()
    before = len(server.asked)
    states = [e["event"]["state"] for e in short.events(job) if e["event"]["event"] == "job"]
    assert states == ["queued", "running", "done"]
    assert server.asked[before:].count(f"GET /api/jobs/{job['id']}/events") > 1


def test_messages_are_put_together_as_the_standard_says() -> None:
    lines = [b": a comment\n", b"id: 3\n", b"data: one\r\n", b"data:two\n", b"\n", b"\n", b"event: x\n",
             b"data\n", b"\n", b"data: not ended"]  # fmt: skip
    assert list(messages(lines)) == ["one\ntwo"]


# Lost connections


@pytest.mark.parametrize("how", [["deaf"], ["mute"], ["cut"], ["mute", "deaf", "cut"]], ids=str)
def test_a_submit_whose_connection_is_lost_gives_one_job(
    paused: Client, server: Served, how: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.connection.PAUSES", (0.0, 0.0, 0.0))
    before = len(list(paused.jobs()))
    server.fail("POST /api/jobs", *how)
    job = paused.submit(SUM)
    assert len(list(paused.jobs())) == before + 1
    assert paused.cancel(job)["state"] == "cancelled"


def test_what_would_be_done_twice_is_not_asked_again(paused: Client, server: Served) -> None:
    job = paused.submit(SUM)
    paused.cancel(job)
    server.fail(f"POST /api/jobs/{job['id']}/retry", "mute")
    with pytest.raises(Unreachable, match="was lost before the server had answered"):
        paused.retry(job)
    assert paused.job(job)["state"] == "queued"
    paused.cancel(job)


def test_a_submit_with_a_key_of_ones_own_may_be_repeated_later(paused: Client) -> None:
    job = paused.submit(SUM, key="mine")
    assert paused.submit(SUM, key="mine")["id"] == job["id"]
    with pytest.raises(Conflict, match="the key 'mine' was used for another request"):
        paused.submit(SUM, {"first": 9}, key="mine")
    paused.cancel(job)


# Where the server is


def test_a_wrong_token_is_told_without_showing_it(server: Served) -> None:
    with pytest.raises(ServerError, match="takes another token than this one") as error:
        Client(server.url, "secret-secret-secret").queue()
    assert "secret-secret" not in str(error.value)
    with pytest.raises(ServerError, match="wants a token"):
        Client(server.url).queue()
    with pytest.raises(ServerError, match="a character that no token has"):
        Client(server.url, "two\r\nlines")


def test_the_server_of_this_machine_is_found_by_what_it_left(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = {"url": server.url, "token": TOKEN, "pid": 1}
    (tmp_path / "server.json").write_text(json.dumps(note))
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path))
    assert Client().queue()["paused"] is False
    assert Client(server.url + "/").queue()  # the same server, so its token
    other = Client("http://127.0.0.1:1")
    assert (other.url, other.connection.token) == ("http://127.0.0.1:1", None)
    (tmp_path / "server.json").write_text("[]")
    with pytest.raises(Unreachable, match="no server runs on this machine"):
        Client()


def test_the_environment_names_a_server_and_a_link_brings_its_token(
    server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path))
    monkeypatch.setenv("GRAPHENGINE_URL", server.url)
    monkeypatch.setenv("GRAPHENGINE_TOKEN", TOKEN)
    assert Client().queue()
    monkeypatch.delenv("GRAPHENGINE_TOKEN")
    linked = Client(f"{server.url}/?token={TOKEN.replace(' ', '%20')}")
    assert linked.queue()
    assert repr(linked) == f"<Client of {server.url}>"
    monkeypatch.setenv("GRAPHENGINE_URL", "elsewhere")
    with pytest.raises(GraphEngineError, match="GRAPHENGINE_URL: 'elsewhere' cannot be used"):
        Client()


# Files


@pytest.fixture(scope="module")
def outputs(server: Served) -> list[dict[str, Any]]:
    """Two pictures that a job made."""
    client = Client(server.url, TOKEN)
    nodes: dict[str, Any] = {}
    for number in (1, 2):
        red = {"type": "image.solid", "inputs": {"width": 8 * number, "height": 8}}
        nodes[f"red{number}"] = red
        saved = {"image": {"link": f"red{number}.image"}}
        nodes[f"save{number}"] = {"type": "image.save", "inputs": saved}
    return client.outputs(client.wait(client.submit({"format": 1, "nodes": nodes})))


def test_a_download_into_a_folder_keeps_what_is_there(client: Client, outputs: Any, tmp_path: Path) -> None:
    one, two = ({**output, "name": "a.png"} for output in outputs)
    assert client.download(one, tmp_path) == tmp_path / "a.png"
    assert client.download(two, tmp_path) == tmp_path / "a_2.png"
    assert client.download(one, tmp_path) == tmp_path / "a.png"  # it is there already
    assert client.download(two["id"], tmp_path / "b.png") == tmp_path / "b.png"
    first = (tmp_path / "a.png").read_bytes()
    assert len(first) == one["size"]
    assert client.download(one["id"], tmp_path / "b.png").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_2.png", "b.png"]
    assert client.download(two["id"], tmp_path).name == outputs[1]["name"]


@pytest.mark.parametrize("name", ["../../x.txt", "/etc/x.txt", "..\\x.txt", "a/b/x.txt", ".x.txt", "x\n.txt"])
def test_no_name_leads_out_of_the_folder(client: Client, outputs: Any, tmp_path: Path, name: str) -> None:
    assert client.download({**outputs[0], "name": name}, tmp_path) == tmp_path / "x.txt"


def test_a_name_of_nothing_but_dots_is_replaced(client: Client, outputs: Any, tmp_path: Path) -> None:
    assert client.download({**outputs[0], "name": ".."}, tmp_path).name == outputs[0]["id"]
    assert plain(None) == plain("...") == plain("a/") == ""
    assert len(plain("x" * 500 + ".png")) == 200


def test_a_download_that_is_cut_off_leaves_nothing(
    client: Client, server: Served, outputs: Any, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("old")
    server.fail(f"GET /api/outputs/{outputs[0]['id']}", "cut", "cut")
    for target in (tmp_path, tmp_path / "kept"):
        with pytest.raises(Unreachable, match="was lost"):
            client.download(outputs[0], target)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_told(client: Client, outputs: Any, tmp_path: Path) -> None:
    with pytest.raises(GraphEngineError, match=r"nothing can be written to .*nowhere"):
        client.download(outputs[0], tmp_path / "nowhere" / "a.bin")
    with pytest.raises(NotFound, match="there is no output"):
        client.download("0" * 32, tmp_path)
    assert list(tmp_path.iterdir()) == []


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_taken_for_a_lost_connection(
    client: Client, outputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", lambda path, mode: Full())
    with pytest.raises(GraphEngineError, match="cannot be written to: No space left") as told:
        client.download(outputs[0], tmp_path)
    assert not isinstance(told.value, Unreachable)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_picture_is_sent_and_found_by_its_new_name(client: Client, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (4, 6)).save(path)
    sent = client.upload(path)
    assert (sent["width"], sent["height"]) == (4, 6)
    load = {"type": "image.load", "inputs": {"path": sent["name"]}}
    show = {"type": "image.save", "inputs": {"image": {"link": "load.image"}}}
    job = client.wait(client.submit({"format": 1, "nodes": {"load": load, "show": show}}))
    assert (job["state"], len(job["outputs"])) == ("done", 1)


def test_what_is_no_picture_is_not_sent(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<svg/>")
    with pytest.raises(GraphEngineError, match="is no PNG, JPEG or WebP picture"):
        client.upload(tmp_path / "a.png")
    with pytest.raises(GraphEngineError, match="cannot be read: No such file"):
        client.upload(tmp_path / "b.png")
