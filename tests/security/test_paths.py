"""Names and addresses: none leads out of the folder that it is looked up in, and none can be guessed."""

from __future__ import annotations

import os

import pytest
from listening import FLOW, png

from graphengine import resources

NAMES = [
    ("up", ".."),
    ("up, encoded", "%2e%2e"),
    ("up and down", "..%2f..%2fetc%2fpasswd"),
    ("up and down, twice encoded", "..%252f..%252fetc%252fpasswd"),
    ("up with a backslash", "..%5c..%5cboot.ini"),
    ("up in another encoding", "%c0%ae%c0%ae%c0%af"),
    ("an absolute path", "%2fetc%2fpasswd"),
    ("a drive", "C:%5cWindows"),
    ("a share", "%5c%5cevil.example%5cshare"),
    ("a stream of a file", "mine.json::$DATA"),
    ("a device", "con"),
    ("a device with an ending", "nul.png"),
    ("a NUL at the end", "mine%00"),
    ("a NUL before an ending", "mine%00.png"),
    ("a hidden file", ".secret.png"),
    ("a dot", "."),
    ("a dot at the end", "mine."),
    ("a space at the end", "mine%20"),
    ("a new line", "mine%0d%0aSet-Cookie:%20a=b"),
    ("a letter that looks like another", "m%D1%96ne"),
    ("a slash that looks like one", "..%ef%bc%8f..%ef%bc%8fetc"),
    ("a long name", "a" * 300),
    ("a home", "~root"),
    ("a variable", "%24HOME"),
    ("a pattern", "*"),
]
ROUTES = ["/api/workflows/{}", "/api/workflows/{}/picture", "/api/uploads/{}", "/api/outputs/{}",
          "/api/jobs/{}", "/api/jobs/{}/events", "/api/jobs/{}/trace", "/assets/{}", "/{}"]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def known(live):
    """What a right request finds beside each wrong one."""
    live.ask("PUT", "/api/workflows/mine", FLOW, {"If-None-Match": "*"})
    live.upload = live.ask("POST", "/api/uploads", png(2, 2), {"Content-Type": "image/png"}).json["name"]
    live.finished = live.ended(live.submit())
    yield
    live.ask("DELETE", "/api/workflows/mine")


def fine(live):
    """Right names are found."""
    assert live.ask("GET", "/api/workflows/mine").status == 200
    assert live.ask("GET", f"/api/uploads/{live.upload}").status == 200
    assert live.ask("GET", live.finished["outputs"][0]["url"]).status == 200


@pytest.mark.parametrize("name", [row[1] for row in NAMES], ids=[row[0] for row in NAMES])
@pytest.mark.parametrize("route", ROUTES)
def test_a_name_that_is_none_finds_nothing(live, route, name):
    if name == "%2e%2e" and route.count("{}/"):
        name = "%2e%2e%2f"
    answer = live.ask("GET", route.format(name))
    if name in (".", "%2e%2e", "..") and answer.status == 200:
        assert answer.headers["Content-Type"] in ("application/json", "text/html; charset=utf-8")  # above it
        assert b"root:" not in answer.body
    else:
        assert answer.status in (400, 404, 405)
        assert b"root:" not in answer.body
    assert "Set-Cookie" not in answer.headers
    fine(live)


@pytest.mark.parametrize("name", [row[1] for row in NAMES if row[1] not in (".", "..", "%2e%2e")])
def test_nothing_is_saved_under_such_a_name(live, name):
    before = sorted(str(path) for path in live.folder.rglob("*.json"))
    answer = live.ask("PUT", f"/api/workflows/{name}", FLOW, {"If-None-Match": "*"})
    if name == "con":
        assert live.ask("DELETE", "/api/workflows/con").status == 204  # a name like any other on this system
    else:
        assert answer.status in (400, 404, 405, 422)
    assert sorted(str(path) for path in live.folder.rglob("*.json")) == before
    fine(live)


@pytest.mark.parametrize("hint", [row[1] for row in NAMES])
def test_an_upload_has_a_plain_name_whatever_it_was_called(live, hint):
    answer = live.ask("POST", f"/api/uploads?name={hint}", png(3, 3), {"Content-Type": "image/png"})
    if answer.status == 201:
        name = answer.json["name"]
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert name.count(".") == 1
        assert (live.service.uploads / name).is_file()
    else:
        assert (answer.status, hint) == (422, "a" * 300)
    fine(live)


def test_a_link_out_of_a_folder_is_not_followed(live, tmp_path, monkeypatch):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(2, 2))
    flow = tmp_path / "flow.json"
    flow.write_text('{"format": 1, "nodes": {}}')
    workflows = live.settings.data / "workflows"
    (workflows / "out.json").symlink_to(flow)
    (live.service.uploads / "out.png").symlink_to(secret)
    (tmp_path / "web" / "assets").mkdir(parents=True)
    (tmp_path / "web" / "assets" / "out.png").symlink_to(secret)
    (tmp_path / "web" / "assets" / "in.png").write_bytes(png(2, 2))
    monkeypatch.setattr(resources, "web", lambda: tmp_path / "web")
    try:
        for path in ("/api/workflows/out", "/api/uploads/out.png", "/assets/out.png"):
            assert live.ask("GET", path).status == 404, path
        assert "out" not in [row["name"] for row in live.ask("GET", "/api/workflows").json["workflows"]]
        assert live.ask("POST", "/api/jobs", {"workflow": "out"}).status == 404
        assert live.ask("GET", "/assets/in.png").status == 200
        fine(live)
    finally:
        (workflows / "out.json").unlink()
        (live.service.uploads / "out.png").unlink()


def test_an_output_whose_file_became_a_link_is_a_link_to_nowhere_else(live):
    output = live.ended(live.submit())["outputs"][0]
    file = live.settings.data / "outputs" / output["id"]
    data = file.read_bytes()
    file.unlink()
    file.symlink_to("/etc/passwd")
    try:
        answer = live.ask("GET", output["url"])
        assert (answer.status, b"root:" in answer.body) == (404, False)
        assert live.ask("GET", f"{output['url']}?size=64").status == 404
    finally:
        file.unlink()
        file.write_bytes(data)
    assert live.ask("GET", output["url"]).body == data


def test_an_output_whose_file_is_gone_is_not_found(live):
    output = live.ended(live.submit())["outputs"][0]
    file = live.settings.data / "outputs" / output["id"]
    os.rename(file, file.with_name("away"))
    assert live.ask("GET", output["url"]).status == 404
    os.rename(file.with_name("away"), file)
    assert live.ask("GET", output["url"]).status == 200


def test_a_folder_is_never_listed(live, tmp_path, monkeypatch):
    (tmp_path / "assets" / "fonts").mkdir(parents=True)
    monkeypatch.setattr(resources, "web", lambda: tmp_path)
    for path in ("/assets", "/assets/", "/assets/fonts", "/assets/fonts/", "/api/outputs", "/api/outputs/",
                 "/api/uploads/", "/api/workflows/", "/api/", "/api", "//"):  # fmt: skip
        answer = live.ask("GET", path)
        assert answer.status in (404, 405), path
        assert b"fonts" not in answer.body.replace(b"/assets/fonts", b"")
    fine(live)


@pytest.mark.parametrize(
    "id", ["0" * 32, "f" * 32, "1", "", "0" * 31, "0" * 33, "A" * 32, "1 OR 1=1", "*", "-1"]
)
def test_an_id_that_is_guessed_finds_nothing(live, id):
    for route in ("/api/outputs/{}", "/api/jobs/{}"):
        answer = live.ask("GET", route.format(id.replace(" ", "%20")))
        assert answer.status == 404 or (id == "" and answer.status in (404, 405))
    fine(live)


def test_two_outputs_have_ids_that_say_nothing_of_each_other(live):
    ids = [o["id"] for o in live.ended(live.submit())["outputs"]]
    assert all(len(id) == 32 for id in ids)
    assert len({id[:8] for id in ids}) == len(ids)


def test_a_name_with_anything_in_it_is_harmless_in_a_header(live):
    output = live.finished["outputs"][-1]
    answer = live.ask("GET", output["url"])
    assert "\r" in output["name"]
    assert "Set-Cookie" not in answer.headers
    value = answer.headers["Content-Disposition"]
    assert value.startswith('inline; filename="a_b__Set-Cookie_ x=1')
    assert value.isprintable()
    assert ".." not in value
    small = live.ask("GET", f"{output['url']}?size=64")
    assert small.status == 415
