"""`graphengine validate`"""

from __future__ import annotations

import json


def test_a_valid_file_is_ok(graphengine, sum_file):
    done = graphengine("validate", sum_file)
    assert (done.status, done.out, done.err) == (0, f"{sum_file}: ok\n", "")


def test_a_shipped_workflow_is_found_by_its_name(graphengine):
    assert graphengine("validate", "text_to_image").out == "text_to_image: ok\n"


def test_every_problem_is_told_on_a_line_of_its_own(graphengine, write):
    file = write(
        {
            "one": {"type": "number.add", "inputs": {"first": "x", "secnd": 2}},
            "two": {"type": "number.nope", "inputs": {}},
        }
    )
    done = graphengine("validate", file)
    assert done.status == 2
    places = [line.partition(": ")[0] for line in done.out.splitlines()]
    assert sorted(places) == ["one.first", "one.secnd", "one.second", "two"]


def test_of_several_files_each_is_told(graphengine, write, sum_file):
    bad = write({"one": {"type": "number.nope"}}, "bad.json")
    done = graphengine("validate", sum_file, bad, "missing.json")
    assert done.status == 2
    ok, unknown, missing = done.out.splitlines()
    assert ok == f"{sum_file}: ok"
    assert unknown.startswith("bad.json: one: there is no node type 'number.nope'")
    assert missing.startswith("missing.json: there is no file 'missing.json'")


def test_problems_as_json(graphengine, write, sum_file):
    bad = write({"one": {"type": "number.add", "inputs": {"first": "x", "second": 1}}}, "bad.json")
    done = graphengine("validate", sum_file, bad, "--json")
    assert done.status == 2
    fine, wrong = json.loads(done.out)
    assert fine == {"file": sum_file, "problems": []}
    assert [(p["node"], p["input"]) for p in wrong["problems"]] == [("one", "first")]


def test_what_is_no_workflow_is_refused_in_a_sentence(graphengine, tmp_path):
    (tmp_path / "text.json").write_text("{nope")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder").mkdir()
    for name in ("text.json", "list.json", "bytes.json", "folder", "nowhere", "text_to_imag"):
        done = graphengine("validate", name)
        assert done.status == 2, name
        assert len(done.out.splitlines()) == 1, name
        assert "Traceback" not in done.err, name
    assert "did you mean text_to_image?" in done.out
