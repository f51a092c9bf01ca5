"""`graphengine jobs`, `logs`, `fetch`, `cancel` and `retry`, and shortened ids."""

from __future__ import annotations

import json
import re

import pytest

SUM = {
    "format": 1,
    "name": "Sum",
    "inputs": {"first": "one.first"},
    "outputs": {"result": "one.value"},
    "nodes": {"one": {"type": "number.add", "inputs": {"first": 1, "second": 2}}},
}
PICTURE = {
    "format": 1,
    "nodes": {
        "red": {"type": "image.solid", "inputs": {"width": 8, "height": 8}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "red.image"}}},
    },
}
BAD = {
    "format": 1,
    "name": "Bad",
    "outputs": {"value": "bad.value"},
    "nodes": {"bad": {"type": "number.divide", "inputs": {"first": 1, "second": 0}}},
}


def test_jobs_are_a_table_newest_first(graphengine, client):
    good, bad = (client.wait(client.submit(each)) for each in (SUM, BAD))
    client.pause()
    waiting = client.submit(SUM)
    done = graphengine("jobs")
    assert done.status == 0
    head, *rows = (re.split(r"\s{2,}", line.strip()) for line in done.out.splitlines())
    assert head == ["id", "state", "workflow", "created", "time", "error"]
    assert [row[0] for row in rows[:3]] == [each["id"][-8:] for each in (waiting, bad, good)]
    assert [row[1] for row in rows[:3]] == ["queued", "failed", "done"]
    assert rows[1][2] == "Bad"
    assert "bad: " in rows[1][-1]


def test_jobs_may_be_of_some_states_and_so_many(graphengine, client):
    for each in (SUM, BAD, SUM):
        client.wait(client.submit(each))
    shown = json.loads(graphengine("jobs", "--state", "failed", "--state", "cancelled", "--json").out)
    assert {job["state"] for job in shown} <= {"failed", "cancelled"}
    assert shown[0]["name"] == "Bad"
    done = graphengine("jobs", "--limit", "2")
    assert len(done.out.splitlines()) == 3
    assert "there are more than 2; --limit shows more" in done.err
    done = graphengine("jobs", "--state", "finished")
    assert done.status == 3
    assert "'finished' is no state of a job; choose queued, running, done" in done.err


def test_no_jobs_are_told_too(graphengine, client):
    done = graphengine("jobs", "--state", "running")
    assert (done.status, done.out) == (0, "")
    assert "there are no jobs" in done.err


def test_one_job_is_shown_whole(graphengine, client):
    job = client.wait(client.submit(SUM, {"first": 40}))
    lines = dict(
        re.split(r"\s+", line, maxsplit=1) for line in graphengine("jobs", job["id"]).out.splitlines()
    )
    assert (lines["id"], lines["state"], lines["workflow"]) == (job["id"], "done", "Sum")
    assert (lines["input"], lines["result"]) == ("first: 40", "result: 42.0")
    assert json.loads(graphengine("jobs", job["id"][-6:], "--json").out) == client.job(job)
    picture = client.wait(client.submit(PICTURE))
    out = graphengine("jobs", picture["id"]).out
    assert re.search(r"^output     picture_\d+.png \(image/png, \d+B\)$", out, re.MULTILINE)


def test_an_id_may_be_shortened_if_one_job_is_meant(graphengine, client):
    client.pause()
    one, two = client.submit(SUM)["id"], client.submit(SUM)["id"]
    assert graphengine("cancel", one[-8:]).out == f"{one[-8:]}: cancelled\n"
    assert graphengine("cancel", two[:16]).out == f"{two[-8:]}: cancelled\n"
    done = graphengine("cancel", one[:4])
    assert done.status == 1
    assert f"jobs could be meant by '{one[:4]}'" in done.err
    done = graphengine("cancel", "zzzz")
    assert done.status == 1
    assert "there is no job 'zzzz'; `graphengine jobs` lists those that are there" in done.err
    done = graphengine("cancel", "z" * 32)
    assert done.status == 1
    assert "there is no job" in done.err
    assert graphengine("cancel", one[-3:]).status == 3


def test_several_jobs_are_cancelled_and_tried_again(graphengine, client):
    client.pause()
    ids = [client.submit(SUM)["id"] for _ in range(2)]
    done = graphengine("cancel", *ids)
    assert done.out.splitlines() == [f"{id[-8:]}: cancelled" for id in ids]
    done = graphengine("retry", *ids)
    assert done.out.splitlines() == [f"{id[-8:]}: queued" for id in ids]
    done = graphengine("retry", ids[0])
    assert done.status == 1
    assert "is queued; only one that failed or was cancelled is retried" in done.err


def test_nothing_is_cancelled_if_one_id_means_no_job(graphengine, client):
    client.pause()
    job = client.submit(SUM)
    assert graphengine("cancel", job["id"][-8:], "zzzz").status == 1
    assert client.job(job)["state"] == "queued"


def test_logs_tell_events_in_the_words_of_run(graphengine, client):
    job = client.wait(client.submit(SUM, {"first": 41}))
    done = graphengine("logs", job["id"])
    lines = [line.split("  ", 1) for line in done.out.splitlines()]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time, _ in lines)
    texts = [text for _, text in lines]
    assert texts[:4] == ["job: queued", "job: running", "plan: 1 to run", "one: started"]
    assert texts[4].startswith("one: done in ")
    assert texts[-1] == "job: done"
    entries = [json.loads(line) for line in graphengine("logs", job["id"], "--json").out.splitlines()]
    assert entries == list(client.past(job))
    bad = client.wait(client.submit(BAD))
    assert re.search(r"job: failed: bad: .", graphengine("logs", bad["id"]).out)


def test_logs_follow_a_job_to_its_end(graphengine, client):
    from threading import Timer

    client.pause()
    job = client.submit(SUM, {"first": 42})
    assert len(graphengine("logs", job["id"]).out.splitlines()) == 1
    Timer(0.2, client.resume).start()
    done = graphengine("logs", job["id"][-8:], "--follow")
    assert done.status == 0
    assert done.out.splitlines()[-1].endswith("job: done")


def test_fetch_saves_the_files_of_a_job_once(graphengine, client, tmp_path):
    job = client.wait(client.submit(PICTURE))
    done = graphengine("fetch", job["id"][-8:])
    (path,) = done.out.splitlines()
    assert path.startswith("outputs/")
    assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")
    assert graphengine("fetch", job["id"]).out == done.out
    assert len(list((tmp_path / "outputs").iterdir())) == 1
    assert graphengine("fetch", job["id"], "--out", "a/b").out.startswith("a/b/")


def test_fetch_says_why_there_is_nothing(graphengine, client):
    done = graphengine("fetch", client.wait(client.submit(SUM))["id"])
    assert (done.status, done.out) == (0, "")
    assert "is done, and there are no files of it" in done.err
    client.pause()
    done = graphengine("fetch", client.submit(SUM)["id"])
    assert done.status == 1
    assert "is queued; `graphengine logs" in done.err


def test_fetch_into_what_is_no_folder_is_told(graphengine, client, tmp_path):
    job = client.wait(client.submit(PICTURE))
    (tmp_path / "file").write_text("x")
    done = graphengine("fetch", job["id"], "--out", "file/below")
    assert done.status == 1
    assert done.err == "file/below can be no folder: Not a directory\n"
    assert graphengine("fetch", job["id"], "--out", "file").status == 1
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("command", ["jobs", "logs", "fetch", "cancel", "retry", "submit", "queue"])
def test_a_command_that_speaks_to_a_server_explains_how_it_is_named(graphengine, command):
    out = graphengine(command, "--help").out
    assert "--url URL" in out
    assert "GRAPHENGINE_TOKEN" in out
