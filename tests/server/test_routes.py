"""Routes: each of them, asked of a real server."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from listening import FLOW, OUTPUTS, TOKEN, png
from PIL import Image

from graphengine import resources


def test_a_job_from_its_submission_to_what_it_gave(live):
    answer = live.ask("POST", "/api/jobs", {"workflow": FLOW, "inputs": {"first": 5}, "priority": 3})
    assert answer.status == 201
    job = answer.json
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    assert (job["name"], job["priority"], job["client"]) == ("quick", 3, "127.0.0.1")
    done = live.ended(job["id"])
    assert done["state"] == "done"
    assert done["workflow"]["nodes"]["add"]["inputs"]["first"] == 5
    assert done["inputs"] == {"first": 5}
    assert done["result"] == {"sum": 3.0}
    assert [(o["name"], o["media"]) for o in done["outputs"]] == [(n, m) for n, m, _ in OUTPUTS]
    for output, (_, _, content) in zip(done["outputs"], OUTPUTS, strict=True):
        assert output["size"] == len(content)
        assert live.ask("GET", output["url"]).body == content


def test_a_job_by_the_name_of_its_workflow(live):
    answer = live.ask("POST", "/api/jobs", {"workflow": "text_to_image"})
    assert answer.status == 201
    assert answer.json["name"] == "Text to image"
    missing = live.ask("POST", "/api/jobs", {"workflow": "no_such"})
    assert (missing.status, missing.json["type"]) == (404, "/problems/not-found")


def test_a_workflow_that_cannot_run_is_refused_with_every_problem(live):
    flow = {"format": 1, "nodes": {"a": {"type": "number.add", "inputs": {"first": "x"}},
                                   "b": {"type": "no.such"}}}  # fmt: skip
    answer = live.ask("POST", "/api/jobs", {"workflow": flow})
    assert answer.status == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert {problem["node"] for problem in answer.json["problems"]} == {"a", "b"}
    assert live.ask("POST", "/api/check", {"workflow": flow}).json["problems"] == answer.json["problems"]
    assert live.ask("POST", "/api/check", {"workflow": FLOW}).json == {"problems": []}


def test_the_same_key_gives_the_same_job_and_another_request_a_conflict(live):
    headers = {"Idempotency-Key": "one-two-three"}
    first = live.ask("POST", "/api/jobs", {"workflow": FLOW}, headers)
    again = live.ask("POST", "/api/jobs", {"workflow": FLOW}, headers)
    assert (first.status, again.status) == (201, 200)
    assert first.json["id"] == again.json["id"]
    other = live.ask("POST", "/api/jobs", {"workflow": FLOW, "priority": 9}, headers)
    assert (other.status, other.json["type"]) == (409, "/problems/conflict")


def test_jobs_are_listed_a_page_at_a_time(live):
    ids = [live.submit() for _ in range(3)]
    for id in ids:
        live.ended(id)
    first = live.ask("GET", "/api/jobs?limit=2").json
    assert [job["id"] for job in first["jobs"]] == ids[:0:-1]
    second = live.ask("GET", f"/api/jobs?limit=2&cursor={first['cursor']}").json
    assert second["jobs"][0]["id"] == ids[0]
    done = live.ask("GET", "/api/jobs?state=done&state=failed&limit=500").json["jobs"]
    assert {job["state"] for job in done} <= {"done", "failed"}
    assert set(ids) <= {job["id"] for job in done}


def test_the_queue_is_paused_reordered_and_resumed(live):
    assert live.ask("POST", "/api/queue/pause").json["paused"] is True
    first, second, third = (live.submit() for _ in range(3))

    def waiting() -> list[str]:
        return [job["id"] for job in live.ask("GET", "/api/queue").json["waiting"]]

    assert waiting() == [first, second, third]
    short = live.ask("GET", "/api/queue?limit=2").json
    assert [job["id"] for job in short["waiting"]] == [first, second]
    assert short["counts"]["queued"] == 3
    assert b"graphengine_queue_length 3\n" in live.ask("GET", "/metrics").body
    assert live.ask("POST", f"/api/jobs/{third}/move", {"place": "front"}).status == 200
    live.ask("POST", f"/api/jobs/{first}/move", {"place": "after", "other": second})
    assert waiting() == [third, second, first]
    assert live.ask("PATCH", f"/api/jobs/{first}", {"priority": 5, "pinned": True}).json["pinned"] is True
    assert waiting() == [first, third, second]
    assert live.ask("POST", f"/api/jobs/{second}/cancel").json["state"] == "cancelled"
    assert live.ask("POST", "/api/queue/resume").json["paused"] is False
    assert live.ended(first)["state"] == "done"
    assert live.ended(third)["state"] == "done"
    assert live.ask("POST", f"/api/jobs/{second}/retry", {}).json["state"] in ("queued", "running")
    assert live.ended(second)["state"] == "done"


def test_a_running_job_is_cancelled_and_a_job_that_has_ended_is_removed(live):
    id = live.submit("slow")
    live.until(lambda: live.ask("GET", f"/api/jobs/{id}").json["state"] == "running")
    assert live.ask("DELETE", f"/api/jobs/{id}").status == 409
    live.ask("POST", f"/api/jobs/{id}/cancel")
    assert live.ended(id)["state"] == "cancelled"
    gone = live.ask("DELETE", f"/api/jobs/{id}")
    assert (gone.status, gone.body) == (204, b"")
    assert live.ask("GET", f"/api/jobs/{id}").status == 404


def test_the_reason_of_a_failure_names_no_folder_of_this_machine(live):
    id = live.submit("fails")
    job = live.ended(id)
    assert job["state"] == "failed"
    assert "secret.txt is not there" in job["error"]
    events = live.ask("GET", f"/api/jobs/{id}/events").body.decode()
    assert "secret.txt is not there" in events
    for text in (job["error"], events):
        assert "[home]/secret.txt" in text


def test_a_move_says_where(live):
    id = live.submit()
    for body in ({"place": "before"}, {"place": "front", "other": id}, {"place": "beside"}):
        assert live.ask("POST", f"/api/jobs/{id}/move", body).status == 422


def test_the_node_types_are_told_once_to_who_keeps_them(live):
    answer = live.ask("GET", "/api/nodes")
    assert answer.status == 200
    types = {kind["id"]: kind for kind in answer.json["types"]}
    assert types["number.add"]["inputs"][0]["name"] == "first"
    assert not {"module", "name", "code"} & types["number.add"].keys()
    assert {wire["name"] for wire in answer.json["wires"]} >= {"Image", "Mask", "Latent"}
    assert {pack["name"] for pack in answer.json["packs"]} >= {"std", "diffusion"}
    again = live.ask("GET", "/api/nodes", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_what_may_be_chosen_and_what_would_run(live):
    assert live.ask("GET", "/api/nodes/diffusion.load_model/choices/model").json == {
        "choices": ["euler", "ddim"]
    }
    assert live.ask("GET", "/api/nodes/no.such/choices/model").status == 404
    planned = live.ask("POST", "/api/plan", {"workflow": FLOW, "inputs": {"first": 2}})
    assert planned.json == {"steps": ["add"], "cached": [], "skipped": []}


def test_a_workflow_is_saved_changed_and_removed_by_who_has_seen_it(live):
    made = live.ask("PUT", "/api/workflows/mine", FLOW, {"If-None-Match": "*"})
    assert (made.status, made.json["name"]) == (201, "mine")
    assert live.ask("PUT", "/api/workflows/mine", FLOW, {"If-None-Match": "*"}).status == 412
    assert live.ask("PUT", "/api/workflows/mine", FLOW).status == 428
    read = live.ask("GET", "/api/workflows/mine")
    assert [*read.json["requires"]] == ["number"]
    assert read.json == FLOW | {"requires": read.json["requires"]}
    assert read.headers["ETag"] == made.headers["ETag"] == f'"{made.json["etag"]}"'
    known = {"If-None-Match": read.headers["ETag"]}
    assert live.ask("GET", "/api/workflows/mine", headers=known).status == 304
    changed = live.ask(
        "PUT", "/api/workflows/mine", FLOW | {"name": "New"}, {"If-Match": read.headers["ETag"]}
    )
    assert changed.status == 200
    stale = live.ask("PUT", "/api/workflows/mine", FLOW, {"If-Match": read.headers["ETag"]})
    assert (stale.status, stale.json["type"]) == (412, "/problems/changed")
    rows = {row["name"]: row for row in live.ask("GET", "/api/workflows").json["workflows"]}
    assert rows["mine"]["title"] == "New"
    assert rows["mine"]["picture"] is None
    assert rows["text_to_image"]["shipped"] is True
    job = live.ask("POST", "/api/jobs", {"workflow": "mine"})
    assert (job.status, job.json["name"]) == (201, "New")
    assert live.ask("DELETE", "/api/workflows/mine", headers={"If-Match": '"old"'}).status == 412
    assert live.ask("DELETE", "/api/workflows/mine").status == 204
    assert live.ask("GET", "/api/workflows/mine").status == 404


def test_a_shipped_workflow_has_a_picture_and_stays_as_it_is(live):
    rows = {row["name"]: row for row in live.ask("GET", "/api/workflows").json["workflows"]}
    picture = live.ask("GET", rows["text_to_image"]["picture"])
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.body == (resources.workflows() / "pictures" / "text_to_image.png").read_bytes()
    etag = live.ask("GET", "/api/workflows/text_to_image").headers["ETag"]
    refused = live.ask("PUT", "/api/workflows/text_to_image", FLOW, {"If-Match": etag})
    assert (refused.status, refused.json["type"]) == (409, "/problems/shipped")
    assert live.ask("DELETE", "/api/workflows/text_to_image").status == 409


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16", "LA"])
def test_a_picture_goes_up_and_comes_back(live, mode):
    data = png(20, 10, mode)
    answer = live.ask("POST", "/api/uploads?name=My%20Cat.PNG", data, {"Content-Type": "image/png"})
    assert answer.status == 201
    assert (answer.json["width"], answer.json["height"]) == (20, 10)
    assert answer.json["name"].startswith("my-cat-")
    back = live.ask("GET", f"/api/uploads/{answer.json['name']}")
    assert back.headers["Content-Type"] == "image/png"
    assert Image.open(BytesIO(back.body)).size == (20, 10)
    assert (live.service.uploads / answer.json["name"]).read_bytes() == back.body
    again = live.ask("POST", "/api/uploads?name=My%20Cat.PNG", data, {"Content-Type": "image/png"})
    assert again.json == answer.json


def test_a_picture_that_a_shipped_workflow_reads_is_shown_and_no_other_of_its_folder(live):
    shipped = live.ask("GET", "/api/uploads/assets%2Fhouse.png")
    assert shipped.body == (resources.workflows() / "assets/house.png").read_bytes()
    for name in ("pictures%2Finpainting.png", "assets%2F..%2Finpainting.png", "assets%2F", "house.png"):
        assert live.ask("GET", f"/api/uploads/{name}").status == 404


def test_an_output_is_shown_small_kept_and_read_in_parts(live):
    output = live.ended(live.submit())["outputs"][0]
    small = live.ask("GET", f"{output['url']}?size=16")
    assert small.headers["Content-Type"] == "image/webp"
    assert Image.open(BytesIO(small.body)).size == (16, 8)
    assert live.ask("GET", f"{output['url']}?size=16").body == small.body
    kept = live.ask("GET", f"{output['url']}?download=1")
    assert kept.headers["Content-Disposition"].startswith('attachment; filename="picture_0001.png"')
    part = live.ask("GET", output["url"], headers={"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, b"PNG")
    assert "immutable" in part.headers["Cache-Control"]


def test_the_trace_of_a_job_that_has_none_is_not_found(live):
    id = live.submit()
    live.ended(id)
    assert live.ask("GET", f"/api/jobs/{id}/trace").status == 404


def test_the_models_are_listed(live):
    rows = {row["name"]: row for row in live.ask("GET", "/api/models").json["models"]}
    assert rows["storybook"]["kind"] == "model"
    assert rows["storybook"]["size"] > 1_000_000


def test_health_and_metrics(live):
    assert live.ask("GET", "/health/live", token=False).json == {"status": "alive"}
    ready = live.ask("GET", "/health/ready")
    assert (ready.status, ready.json["ready"]) == (200, True)
    assert ready.json["workers"][0]["name"] == "hands"
    text = live.ask("GET", "/metrics").body.decode()
    assert 'graphengine_jobs{state="done"}' in text
    assert 'graphengine_requests_total{method="GET",route="/health/live",status="200"}' in text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["graphengine_journal_last"]) > 0
    assert float(values["process_resident_memory_bytes"]) > 1e6
    assert all(float(value) >= 0 for value in values.values())


def test_a_queue_that_no_worker_serves_is_not_ready(live, monkeypatch):
    worker = live.hands.workers()[0]._replace(ready=False)
    monkeypatch.setattr(live.hands, "workers", lambda: [worker])
    answer = live.ask("GET", "/health/ready")
    assert (answer.status, answer.json["ready"]) == (503, False)


def test_the_page_says_how_to_build_the_editor_until_it_is_built(live, monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "web", lambda: tmp_path)
    page = live.ask("GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"make web" in page.body
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>The editor</title>")
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "app-1.js").write_text("run()")
    (tmp_path / "assets" / "notes.py").write_text("run()")
    assert b"The editor" in live.ask("GET", "/?anything=1").body
    script = live.ask("GET", "/assets/app-1.js")
    assert (script.body, script.headers["Content-Type"]) == (b"run()", "text/javascript; charset=utf-8")
    assert "immutable" in script.headers["Cache-Control"]
    assert live.ask("GET", "/icon.svg").status == 200
    for path in ("/assets/notes.py", "/assets/gone.js", "/assets/", "/assets", "/nothing.html"):
        assert live.ask("GET", path).status == 404, path


def test_the_link_with_the_token_sets_a_cookie_that_opens_everything(live):
    way = live.ask("GET", f"/?view=form&token={TOKEN}", token=False)
    assert (way.status, way.headers["Location"]) == (303, "/?view=form")
    cookie = way.headers["Set-Cookie"]
    assert cookie.startswith(f"graphengine-{live.port}={TOKEN};")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    got = live.ask("GET", "/api/queue", headers={"Cookie": cookie.partition(";")[0]}, token=False)
    assert got.status == 200


def test_who_has_no_token_is_told_where_it_is(live):
    page = live.ask("GET", "/", headers={"Accept": "text/html"}, token=False)
    assert page.status == 401
    assert b"Open the link" in page.body
    call = live.ask("GET", "/api/queue", token=False)
    assert (call.status, call.json["type"]) == (401, "/problems/token")
    assert call.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_request_is_a_line_of_the_log_with_its_number(live, caplog):
    caplog.set_level("INFO", "graphengine.requests")
    answer = live.ask("GET", f"/?token={TOKEN}", token=False)
    (row,) = [r.fields for r in caplog.records if r.name == "graphengine.requests"]
    assert row["request"] == answer.headers["X-Request-Id"]
    assert (row["method"], row["path"], row["status"], row["client"]) == ("GET", "/", 303, "127.0.0.1")
    assert TOKEN not in json.dumps(row)


def test_an_error_that_nobody_foresaw_is_told_by_its_number_only(live, monkeypatch, caplog):
    async def broken(limit: int) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(live.service, "line", broken)
    answer = live.ask("GET", "/api/queue")
    assert answer.status == 500
    assert b"swordfish" not in answer.body
    assert b"Traceback" not in answer.body
    assert answer.json["request"] == answer.headers["X-Request-Id"]
    (record,) = [r for r in caplog.records if r.name == "graphengine.server"]
    assert record.fields["request"] == answer.json["request"]
    assert "swordfish" in str(record.exc_info)
