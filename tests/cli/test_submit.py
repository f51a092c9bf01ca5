"""`graphengine submit`"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from time import sleep
from typing import Any

import pytest
from PIL import Image
from served import TOKEN

PICTURE = {
    "red": {"type": "image.solid", "inputs": {"width": 8, "height": 8}},
    "save": {"type": "image.save", "inputs": {"image": {"link": "red.image"}}},
}


@pytest.fixture
def picture_file(write: Any) -> str:
    return write(PICTURE, "picture.json", inputs={"width": "red.width"})


def test_the_id_of_the_job_is_printed_and_the_job_is_on_the_server(graphengine, client, sum_file):
    client.pause()
    done = graphengine("submit", sum_file, "--set", "first=3", "--priority", "5")
    assert (done.status, done.err) == (0, "")
    job = client.job(done.out.strip())
    assert (job["state"], job["inputs"]["first"], job["priority"]) == ("queued", 3, 5)
    shown = json.loads(graphengine("submit", sum_file, "--json").out)
    assert shown["id"] != job["id"]
    assert shown["state"] == "queued"


def test_values_are_read_as_the_servers_nodes_want_them(graphengine, client, sum_file):
    client.pause()
    done = graphengine("submit", sum_file, "--set", "word=12", "--set", "factor=12")
    given = client.job(done.out.strip())["inputs"]
    assert (given["word"], given["factor"]) == ("12", 12)
    done = graphengine("submit", "text_to_image", "--seed", "9", "--set", "prompt=5")
    given = client.job(done.out.strip())["inputs"]
    assert (given["prompt"], given["seed"]) == ("5", 9)


def test_waiting_shows_what_happens_and_ends_as_the_job_does(graphengine, client, sum_file, write):
    done = graphengine("submit", sum_file, "--set", "first=77", "--wait")
    assert done.status == 0
    assert done.out.splitlines() == ["result: 790.0", "word: hello"]
    lines = done.err.splitlines()
    assert lines[0].startswith("job ")
    assert "plan: " in done.err
    assert lines[-1].startswith("done in ")
    bad = write(
        {"bad": {"type": "number.divide", "inputs": {"first": 1, "second": 0}}}, outputs={"v": "bad.value"}
    )
    done = graphengine("submit", bad, "--wait")
    assert done.status == 1
    assert "failed: bad: " in done.err


def test_out_waits_and_saves_the_files(graphengine, client, picture_file, tmp_path):
    done = graphengine("submit", picture_file, "--out", "made/here")
    assert done.status == 0
    (path,) = done.out.splitlines()
    assert path.startswith("made/here/")
    with Image.open(tmp_path / path) as image:
        assert image.size == (8, 8)
    done = graphengine("submit", picture_file, "--wait")
    assert done.out == ""
    job = next(iter(client.jobs()))["id"]
    assert f"`graphengine fetch {job[-8:]}` saves it here" in done.err


def test_a_folder_that_can_be_none_is_told_before_anything_is_submitted(
    graphengine, client, sum_file, tmp_path
):
    (tmp_path / "file").write_text("x")
    before = len(list(client.jobs()))
    done = graphengine("submit", sum_file, "--out", "file")
    assert (done.status, done.err) == (1, "file can be no folder: File exists\n")
    assert len(list(client.jobs())) == before


def test_json_is_a_line_an_event_and_the_result_last(graphengine, client, picture_file, tmp_path):
    done = graphengine("submit", picture_file, "--set", "width=16", "--out", "made", "--json")
    first, *events, last = map(json.loads, done.out.splitlines())
    assert first == {"event": "submitted", "job": next(iter(client.jobs()))["id"]}
    assert {"run_planned", "node_finished", "node_output", "job", "run_ended"} <= {e["event"] for e in events}
    assert (last["event"], last["state"], last["error"]) == ("result", "done", "")
    (path,) = last["files"]
    with Image.open(tmp_path / path) as image:
        assert image.size == (16, 8)
    assert done.err == ""


def test_a_picture_is_sent_for_an_input(graphengine, client, served, write, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    file = write(
        {"load": {"type": "image.load", "inputs": {"path": ""}}}, inputs={"image": "load.path"},
        outputs={"image": "load.image"},
    )  # fmt: skip
    client.pause()
    done = graphengine("submit", file, "--upload", "image=a.png")
    name = client.job(done.out.strip())["inputs"]["image"]
    assert (served.data / "inputs" / name).is_file()
    client.resume()
    assert client.wait(done.out.strip())["state"] == "done"
    done = graphengine("submit", file, "--upload", "a.png")
    assert done.status == 3
    assert "names no picture for an input" in done.err


def test_what_is_not_valid_is_told_with_every_problem(graphengine, client, write):
    file = write({"a": {"type": "number.add", "inputs": {"first": "x"}}, "b": {"type": "no.such"}})
    done = graphengine("submit", file)
    assert (done.status, done.out) == (2, "")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["a.first", "a.second", "b"]
    done = graphengine("submit", file, "--json")
    refused = json.loads(done.out)
    assert (refused["event"], len(refused["problems"])) == ("refused", 3)


@pytest.mark.parametrize("name", ["nothing.json", "nothing", "folder/nothing"])
def test_a_workflow_that_is_nowhere_is_told(graphengine, client, name):
    done = graphengine("submit", name)
    assert done.status == 2
    assert f"there is no file '{name}'" in done.err
    assert ("text_to_image" in done.err) == (name == "nothing")


def test_without_a_server_the_remedy_is_told(graphengine, sum_file, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path))
    done = graphengine("submit", sum_file)
    assert done.status == 1
    assert "no server runs on this machine; `graphengine serve` starts one" in done.err
    done = graphengine("submit", sum_file, "--url", "http://127.0.0.1:9")
    assert done.status == 1
    assert "no server answers at http://127.0.0.1:9" in done.err


def test_the_server_may_be_named_by_options(graphengine, served, sum_file, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHENGINE_DATA", str(tmp_path))
    assert graphengine("submit", sum_file, "--url", served.url, "--token", TOKEN, "--wait").status == 0
    done = graphengine("submit", sum_file, "--url", served.url)
    assert done.status == 1
    assert "wants a token" in done.err


def test_ctrl_c_stops_waiting_and_the_job_goes_on(client, served, sum_file, cache, tmp_path):
    client.pause()
    environment = os.environ | {"GRAPHENGINE_CACHE": str(cache)}
    command = [sys.executable, "-m", "graphengine", "submit", sum_file, "--set", "first=88", "--wait"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
        assert process.stderr is not None
        assert "is queued" in process.stderr.readline()
        while not served.asked[-1].endswith("/events"):
            sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    job = client.queue()["waiting"][0]
    short = job["id"][-8:]
    assert (process.returncode, out) == (130, "")
    assert f"job {short} goes on. `graphengine cancel {short}` ends it" in err
    assert "Traceback" not in err
    client.resume()
    assert client.wait(job)["state"] == "done"
