"""`graphengine queue`"""

from __future__ import annotations

import json
import re

SUM = {
    "format": 1,
    "name": "Sum",
    "nodes": {"one": {"type": "number.add", "inputs": {"first": 1, "second": 2}}},
    "outputs": {"v": "one.value"},
}


def rows(out: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]


def test_the_queue_is_shown_in_its_order(graphengine, client):
    client.pause()
    first, second = client.submit(SUM), client.submit(SUM, priority=2)
    done = graphengine("queue")
    assert done.status == 0
    assert rows(done.out)[1:] == [["1", second["id"][-8:], "Sum", "2"], ["2", first["id"][-8:], "Sum", "0"]]
    assert "paused; `graphengine queue resume` goes on" in done.err
    assert json.loads(graphengine("queue", "--json").out) == client.queue()


def test_an_empty_queue_is_told(graphengine, client):
    done = graphengine("queue")
    assert (done.status, done.out) == (0, "")
    assert "nothing runs, and nothing waits" in done.err


def test_the_queue_is_paused_and_goes_on(graphengine, client):
    assert graphengine("queue", "pause").out == "paused; `graphengine queue resume` goes on\n"
    job = client.submit(SUM)
    assert client.queue()["paused"]
    assert graphengine("queue", "resume").out.startswith("going on; ")
    assert client.wait(job)["state"] == "done"


def test_a_job_is_moved(graphengine, client):
    client.pause()
    one, two, three = (client.submit(SUM)["id"] for _ in range(3))
    assert graphengine("queue", "move", three[-8:], "front").out == f"{three[-8:]}: number 1 of 3 waiting\n"
    assert graphengine("queue", "move", one, "after", two).out == f"{one[-8:]}: number 3 of 3 waiting\n"
    assert [job["id"] for job in client.queue()["waiting"]] == [three, two, one]
    for words in (["before"], ["front", two], ["middle"]):
        assert graphengine("queue", "move", one, *words).status == 3
    client.cancel(one)
    done = graphengine("queue", "move", one, "front")
    assert done.status == 1
    assert "only a job that is queued has a place in the queue" in done.err


def test_the_server_may_be_named_before_or_after_the_command(graphengine, served, monkeypatch, tmp_path):
    from served import TOKEN

    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path))
    named = ["--url", served.url, "--token", TOKEN]
    assert graphengine("queue", *named, "pause").status == 0
    assert graphengine("queue", "resume", *named).status == 0
    assert graphengine("queue", *named).status == 0
    assert graphengine("queue").status == 1
