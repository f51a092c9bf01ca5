"""`graphengine format`"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from graphengine import formatting

UNTIDY = '{"nodes": {"a": {"inputs": {"first": 1, "second": 2}, "type": "number.add"}}, "format": 1}'
TIDY = (
    "{\n"
    '  "format": 1,\n'
    '  "nodes": {\n'
    '    "a": {"type": "number.add", "inputs": {"first": 1, "second": 2}}\n'
    "  }\n"
    "}\n"
)


def test_a_file_is_put_in_its_canonical_form(graphengine, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(UNTIDY)
    done = graphengine("format", "a.json")
    assert (done.status, done.out, done.err) == (0, "a.json: formatted\n", "")
    assert file.read_text() == TIDY == formatting.text(json.loads(UNTIDY))


def test_a_file_in_its_canonical_form_is_not_touched(graphengine, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(TIDY)
    os.utime(file, (0, 0))
    done = graphengine("format", "a.json")
    assert (done.status, done.out) == (0, "a.json: ok\n")
    assert file.stat().st_mtime == 0


def test_check_changes_nothing_and_names_what_would_change(graphengine, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UNTIDY)
    (tmp_path / "b.json").write_text(TIDY)
    done = graphengine("format", "--check", "a.json", "b.json")
    assert (done.status, done.out) == (2, "a.json: would be formatted\nb.json: ok\n")
    assert (tmp_path / "a.json").read_text() == UNTIDY
    assert graphengine("format", "--check", "b.json").status == 0


@pytest.mark.parametrize("bytes", [b"\xef\xbb\xbf" + TIDY.encode(), TIDY.replace("\n", "\r\n").encode()])
def test_marks_and_line_ends_of_other_systems_are_formatting_too(graphengine, tmp_path: Path, bytes) -> None:
    (tmp_path / "a.json").write_bytes(bytes)
    assert graphengine("format", "a.json").out == "a.json: formatted\n"
    assert (tmp_path / "a.json").read_bytes() == TIDY.encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{nope", "a.json: line 1, column 2 is not JSON"),
        ("[]", "a.json: a workflow is a JSON object"),
        ('{"format": 1, "nodes": {"a": {"type": "b", "type": "c"}}}', "a.json: a: the key 'type' is there"),
        ('{"format": 1, "nodse": {}}', "a.json: nodse: is no field of a workflow"),
        ('{"format": 1, "nodes": {"a": {"type": "b", "inputs": {"x": NaN}}}}', "a.json: a.x: NaN is no"),
    ],
)  # fmt: skip
def test_what_is_no_valid_file_stays_as_it_is_and_the_others_are_formatted(
    graphengine, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_text(UNTIDY)
    done = graphengine("format", "a.json", "b.json", "gone.json")
    assert (done.status, done.out) == (2, "b.json: formatted\n")
    first, *_, last = done.err.splitlines()
    assert first.startswith(said)
    assert last.startswith("gone.json: gone.json cannot be read")
    assert (tmp_path / "a.json").read_text() == text


def test_unknown_node_types_are_formatted_like_any(graphengine, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UNTIDY.replace("number.add", "no.such"))
    assert graphengine("format", "a.json").status == 0
    assert (tmp_path / "a.json").read_text() == TIDY.replace("number.add", "no.such")


def test_a_picture_with_a_workflow_inside_stays_a_picture(graphengine, tmp_path: Path) -> None:
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", UNTIDY)
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png", pnginfo=info)
    before = (tmp_path / "a.png").read_bytes()
    done = graphengine("format", "a.png")
    assert (done.status, done.err) == (2, "a.png: is a picture, and stays as it is; name a .json file\n")
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_file_keeps_its_permissions_and_a_link_stays_a_link(graphengine, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UNTIDY)
    (tmp_path / "a.json").chmod(0o640)
    (tmp_path / "b.json").symlink_to("a.json")
    assert graphengine("format", "b.json").status == 0
    assert (tmp_path / "b.json").is_symlink()
    assert (tmp_path / "a.json").read_text() == TIDY
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.json", "b.json"]


def test_a_file_that_cannot_be_written_is_told_and_stays_whole(
    graphengine, tmp_path: Path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.json").write_text(UNTIDY)
    monkeypatch.setattr("os.replace", full)
    done = graphengine("format", "a.json")
    assert done.status == 3
    assert "a.json cannot be written: No space left on device" in done.err
    assert (tmp_path / "a.json").read_text() == UNTIDY
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
