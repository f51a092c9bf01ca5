"""The client against a server that answers as the real one does, and loses connections when it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from standin import TOKEN, StandIn, standing_in

import graphengine
from graphengine.client import Client, messages, plain
from graphengine.config import Settings
from graphengine.connection import Connection
from graphengine.errors import (
    Conflict,
    GraphEngineError,
    NotFound,
    OverLimit,
    ServerError,
    StoreError,
    Unavailable,
    Unreachable,
    WorkflowError,
)
from graphengine.jobs import Draft
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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.fixture
def client(server: StandIn) -> Iterator[Client]:
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
        assert (job["result"], job["inputs"], job["name"]) == ({"result": 50}, {"first": 3}, "Sum")
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
    client: Client, server: StandIn, tmp_path: Path
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
    paused: Client, server: StandIn, monkeypatch: pytest.MonkeyPatch
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
    with pytest.raises(OverLimit, match="out of range"):
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


def test_events_go_on_after_lost_connections_each_once(client: Client, server: StandIn) -> None:
    job = client.submit(SUM, {"first": 200})
    server.fail(f"GET /api/jobs/{job['id']}/events", "cut", "deaf", "cut")
    entries = list(client.events(job))
    assert entries == list(client.past(job))
    assert len(entries) > 5
    assert entries[-1]["event"]["state"] == "done"


def test_events_of_a_job_that_was_retried_go_on_to_its_last_end(paused: Client, server: StandIn) -> None:
    job = paused.submit(SUM, {"first": 300})
    paused.cancel(job)
    paused.retry(job)
    server.fail(f"GET /api/jobs/{job['id']}/events", "cut")  # just after the first end
    threading.Timer(0.1, paused.resume).start()
    states = [e["event"]["state"] for e in paused.events(job) if e["event"]["event"] == "job"]
    assert states == ["queued", "cancelled", "queued", "running", "done"]


def test_events_wait_for_a_server_that_restarts_and_not_for_ever(client: Client, server: StandIn) -> None:
    client.pause()
    job = client.submit(SUM, {"first": 400})
    seen = client.events(job)
    assert next(seen)["event"]["state"] == "queued"
    server.end()
    server.stopped.set()  # ends its streams
    again = threading.Timer(0.3, lambda: (server.stopped.clear(), server.begin(server.port)))
    again.start()
    threading.Timer(0.6, lambda: server.store.queue.pause(False)).start()
    hasty = Client(server.url, TOKEN, patience=0.0)
    with pytest.raises(Unreachable):
        list(hasty.events(job))
    again.join()
    worker = threading.Thread(target=server.work)
    worker.start()
    assert list(seen)[-1]["event"]["state"] == "done"


def test_a_job_of_which_nothing_is_heard_for_long_is_still_followed(paused: Client, server: StandIn) -> None:
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


# Lost connections and other failures


@pytest.mark.parametrize("how", [["deaf"], ["mute"], ["cut"], ["mute", "deaf", "cut"]], ids=str)
def test_a_submit_whose_connection_is_lost_gives_one_job(
    paused: Client, server: StandIn, how: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.connection.PAUSES", (0.0, 0.0, 0.0))
    before = len(list(paused.jobs()))
    server.fail("POST /api/jobs", *how)
    job = paused.submit(SUM)
    assert len(list(paused.jobs())) == before + 1
    assert paused.cancel(job)["state"] == "cancelled"


def test_what_would_be_done_twice_is_not_asked_again(paused: Client, server: StandIn) -> None:
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


def test_nobody_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        Unreachable, match=rf"no server answers at http://127.0.0.1:{port} .*graphengine serve"
    ):
        Client(f"http://127.0.0.1:{port}").queue()
    with pytest.raises(Unreachable, match="no server runs on this machine"):
        Client(settings=Settings(data=tmp_path))


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8420", "http://", "http://a:b"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(Unreachable, match="is no address of a server"):
        Client(url)


def test_a_wrong_token_is_told_without_showing_it(server: StandIn) -> None:
    with pytest.raises(ServerError, match="takes another token than this one") as error:
        Client(server.url, "secret-secret-secret").queue()
    assert "secret-secret" not in str(error.value)
    with pytest.raises(ServerError, match="wants a token"):
        Client(server.url).queue()
    with pytest.raises(ServerError, match="a character that no token has"):
        Client(server.url, "two\r\nlines")


@pytest.mark.parametrize(
    ("status", "document", "kind", "text"),
    [
        (404, {"detail": "no job"}, NotFound, "no job"),
        (409, {"detail": "is done"}, Conflict, "is done"),
        (412, {"title": "changed"}, Conflict, "changed"),
        (413, {"detail": "8 MiB at most"}, OverLimit, "8 MiB at most"),
        (422, {"detail": "too high"}, OverLimit, "too high"),
        (422, {"problems": [{"node": "a", "input": "b", "text": "c"}]}, WorkflowError, "a.b: c"),
        (422, {"problems": ["odd"]}, WorkflowError, "odd"),
        (429, {"detail": "100 wait"}, OverLimit, "100 wait"),
        (503, {"detail": "no worker"}, Unavailable, "no worker"),
        (403, {"detail": "this Host is not served"}, ServerError, "this Host is not served"),
        (500, {}, ServerError, "answered with 500 and no reason"),
        (302, {}, ServerError, "answered with 302"),
        (404, {}, ServerError, "answered with 404"),
    ],
)
def test_a_refusal_is_raised_as_the_engines_own_error(
    status: int, document: dict[str, Any], kind: type[Exception], text: str
) -> None:
    error = Connection("http://here:1").refusal(status, document)
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhttp", "its answer is no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "is no GraphEngine server"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere\r\nContent-Length: 0\r\n\r\n",
            "answered with 302",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "was lost before"),
    ],
)
def test_another_program_that_answers_is_not_taken_for_a_server(
    said: bytes, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.connection.PAUSES", ())
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ServerError, match=text):
            Client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=5).queue()
        thread.join()


# Where the server is


def test_the_server_of_this_machine_is_found_by_what_it_left(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    server: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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


def test_a_server_below_a_path_is_asked_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("https://user:word@paint.example/engine/")
    assert connection.url == "https://paint.example/engine"
    assert connection.secure
    assert connection.connection().host == "paint.example"


# Files


def published(client: Client, server: StandIn, *drafts: Draft) -> list[dict[str, Any]]:
    """The outputs of a job that gave these."""
    client.pause()
    job = client.submit(SUM)
    client.move(job, "front")
    server.store.queue.pause(False)
    lease = server.store.queue.claim("test")
    server.store.queue.pause(True)
    assert lease is not None
    if lease.job.id != job["id"]:  # the worker was quicker
        pytest.fail("another job was claimed")
    assert server.store.finish(lease, "done", drafts)
    return client.outputs(job)


@pytest.fixture
def still(server: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Publish outputs by hand."""
    claim = server.store.queue.claim
    monkeypatch.setattr(
        server.store.queue, "claim", lambda worker: claim(worker) if worker == "test" else None
    )
    return lambda *drafts: published(client, server, *drafts)


def test_a_download_into_a_folder_keeps_what_is_there(client: Client, still: Any, tmp_path: Path) -> None:
    one, two = still(Draft("a.txt", "text/plain", b"one"), Draft("a.txt", "text/plain", b"two"))
    assert client.download(one, tmp_path) == tmp_path / "a.txt"
    assert client.download(two, tmp_path) == tmp_path / "a_2.txt"
    assert client.download(one, tmp_path) == tmp_path / "a.txt"  # it is there already
    assert client.download(two["id"], tmp_path / "b.txt") == tmp_path / "b.txt"
    assert client.download(one["id"], tmp_path / "b.txt").read_bytes() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "a_2.txt", "b.txt"]


@pytest.mark.parametrize("name", ["../../x.txt", "/etc/x.txt", "..\\x.txt", "a/b/x.txt", ".x.txt", "x\n.txt"])
def test_no_name_leads_out_of_the_folder(client: Client, still: Any, tmp_path: Path, name: str) -> None:
    (output,) = still(Draft(name, "text/plain", b"x"))
    assert client.download(output, tmp_path) == tmp_path / "x.txt"


def test_a_name_of_nothing_but_dots_is_replaced_by_the_id(client: Client, still: Any, tmp_path: Path) -> None:
    (output,) = still(Draft("..", "text/plain", b"x"))
    assert client.download(output, tmp_path).name == output["id"]
    assert plain(None) == plain("...") == plain("a/") == ""
    assert len(plain("x" * 500 + ".png")) == 200


def test_a_download_that_is_cut_off_leaves_nothing(
    client: Client, server: StandIn, still: Any, tmp_path: Path
) -> None:
    (output,) = still(Draft("a.bin", "application/octet-stream", bytes(1000)))
    (tmp_path / "kept").write_text("old")
    server.fail(f"GET /api/outputs/{output['id']}", "cut", "cut")
    for target in (tmp_path, tmp_path / "kept"):
        with pytest.raises(Unreachable, match="was lost"):
            client.download(output, target)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_told(client: Client, still: Any, tmp_path: Path) -> None:
    (output,) = still(Draft("a.bin", "application/octet-stream", b"x"))
    with pytest.raises(GraphEngineError, match=r"nothing can be written to .*nowhere"):
        client.download(output, tmp_path / "nowhere" / "a.bin")
    with pytest.raises(NotFound, match="there is no output"):
        client.download("0" * 32, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_picture_is_sent_as_what_it_is(
    client: Client, server: StandIn, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (4, 4)).save(path)
    sent = client.upload(path)
    assert server.uploads[sent["name"]] == path.read_bytes()


def test_what_is_no_picture_is_not_sent(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<svg/>")
    with pytest.raises(GraphEngineError, match="is no PNG, JPEG or WebP picture"):
        client.upload(tmp_path / "a.png")
    with pytest.raises(GraphEngineError, match="cannot be read: No such file"):
        client.upload(tmp_path / "b.png")


def test_errors_of_a_server_are_errors_of_the_engine() -> None:
    assert issubclass(Unreachable, ServerError)
    assert issubclass(ServerError, GraphEngineError)
    assert not issubclass(ServerError, StoreError)
