"""Uploads and outputs: only pixels come in, and nothing goes out as a page."""

from __future__ import annotations

import io
import struct
import zlib
from io import BytesIO

import pytest
from listening import LIMITS, OUTPUTS, png
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
HTML = b"<!doctype html><script>alert(1)</script>"


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(extra: bytes) -> bytes:
    """A picture with another chunk after its first."""
    data = png(4, 4)
    return data[:33] + extra + data[33:]


def huge(width: int, height: int) -> bytes:
    """A picture that says it is large, and holds little."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")


def saved(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, format, **options)
    return stream.getvalue()


TEXT_BOMB = with_chunk(chunk(b"iTXt", b"a\0\x01\0\0\0" + zlib.compress(b"a" * 100_000_000)))
OLD_TEXT_BOMB = with_chunk(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 100_000_000)))
PROFILE_BOMB = with_chunk(chunk(b"iCCP", b"a\0\0" + zlib.compress(b"a" * 100_000_000)))

WRONG = [
    ("a drawing", SVG, "image/svg+xml", 415),
    ("a drawing that says it is a picture", SVG, "image/png", 415),
    ("a page", HTML, "text/html", 415),
    ("a page that says it is a picture", HTML, "image/png", 415),
    ("a GIF", saved("GIF"), "image/gif", 415),
    ("a GIF that says it is PNG", saved("GIF"), "image/png", 415),
    ("a BMP", saved("BMP"), "image/bmp", 415),
    ("a TIFF", saved("TIFF"), "image/tiff", 415),
    ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/png", 415),
    ("a JPEG that says it is PNG", saved("JPEG"), "image/png", 415),
    ("a PNG that says it is JPEG", png(4, 4), "image/jpeg", 415),
    ("a picture without a type", png(4, 4), None, 415),
    ("a picture as a form", png(4, 4), "multipart/form-data; boundary=x", 415),
    ("a picture as bytes", png(4, 4), "application/octet-stream", 415),
    ("a picture as any picture", png(4, 4), "image/*", 415),
    ("JSON", b"{}", "application/json", 415),
    ("nothing", b"", "image/png", 415),
    ("its first bytes", png(4, 4)[:8], "image/png", 415),
    ("half a picture", png(64, 64)[:60], "image/png", 422),
    ("half a JPEG", saved("JPEG")[:200], "image/jpeg", 422),
    ("half a WebP", saved("WEBP")[:40], "image/webp", 422),
    ("wrong bytes", png(4, 4)[:46] + b"\xff\xff\xff\xff" + png(4, 4)[50:], "image/png", 422),
    ("too many pixels", png(1000, 101), "image/png", 413),
    ("pixels that are not there", huge(100_000, 100_000), "image/png", 413),
    ("one row without end", huge(2_000_000_000, 1), "image/png", 413),
    ("no pixels", huge(0, 0), "image/png", 415),
    ("a text that grows", TEXT_BOMB, "image/png", 422),
    ("an older text that grows", OLD_TEXT_BOMB, "image/png", 422),
    ("too many bytes", png(4, 4) + b"\0" * LIMITS.upload, "image/png", 413),
]  # fmt: skip


@pytest.mark.parametrize(("data", "kind", "status"), [r[1:] for r in WRONG], ids=[r[0] for r in WRONG])
def test_what_is_no_picture_is_not_taken(live, data, kind, status):
    before = sorted(live.service.uploads.iterdir())
    answer = live.ask("POST", "/api/uploads", data, {"Content-Type": kind})
    assert answer.status == status
    assert sorted(live.service.uploads.iterdir()) == before
    right = live.ask("POST", "/api/uploads", png(4, 4), {"Content-Type": "image/png"})
    assert right.status == 201


@pytest.mark.parametrize(("format", "kind"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
def test_only_the_pixels_of_a_picture_are_kept(live, format, kind):
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif[0x0112] = 6  # on its side
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(stream, format, exif=exif, icc_profile=b"secret profile")
    data = stream.getvalue() + b"PK\x03\x04<script>alert('secret')</script>"
    assert b"secret" in data
    answer = live.ask("POST", "/api/uploads", data, {"Content-Type": f"image/{kind}"})
    assert (answer.status, answer.json["width"], answer.json["height"]) == (201, 10, 20)
    kept = live.ask("GET", f"/api/uploads/{answer.json['name']}").body
    assert b"secret" not in kept
    assert b"script" not in kept
    picture = Image.open(BytesIO(kept))
    assert picture.format == "PNG"
    assert not picture.info


def test_a_text_inside_a_picture_is_gone(live):
    notes = PngInfo()
    notes.add_text("workflow", '{"secret": 1}')
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG", pnginfo=notes)
    answer = live.ask("POST", "/api/uploads", stream.getvalue(), {"Content-Type": "image/png"})
    assert b"secret" not in live.ask("GET", f"/api/uploads/{answer.json['name']}").body


def test_of_an_animation_the_first_picture_is_kept(live):
    stream = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    answer = live.ask("POST", "/api/uploads", stream.getvalue(), {"Content-Type": "image/webp"})
    picture = Image.open(BytesIO(live.ask("GET", f"/api/uploads/{answer.json['name']}").body))
    assert getattr(picture, "n_frames", 1) == 1
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_a_profile_that_grows_does_no_harm(live):
    answer = live.ask("POST", "/api/uploads", PROFILE_BOMB, {"Content-Type": "image/png"})
    assert answer.status in (201, 422)
    assert live.ask("GET", "/api/queue").status == 200


SHOWN = {"image/png": "image/png", "text/plain": "text/plain; charset=utf-8"}


def test_an_output_is_shown_only_if_it_is_of_a_few_harmless_types(live):
    rows = live.ended(live.submit())["outputs"]
    assert [row["media"] for row in rows] == [media for _, media, _ in OUTPUTS]
    for row in rows:
        answer = live.ask("GET", row["url"])
        how = answer.headers["Content-Disposition"].partition(";")[0]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        if row["media"] in SHOWN:
            assert (how, answer.headers["Content-Type"]) == ("inline", SHOWN[row["media"]])
        else:
            assert (how, answer.headers["Content-Type"]) == ("attachment", "application/octet-stream")
        kept = live.ask("GET", f"{row['url']}?download=true")
        assert kept.headers["Content-Disposition"].startswith("attachment;")


def test_there_is_a_small_picture_of_pictures_only(live):
    rows = live.ended(live.submit())["outputs"]
    for row in rows:
        answer = live.ask("GET", f"{row['url']}?size=32")
        assert answer.status == (200 if row["media"] == "image/png" else 415)


def test_a_damaged_model_is_listed_as_one_and_harms_nothing(live, tmp_path, monkeypatch):
    from graphengine.catalogue import Catalogue
    from graphengine.folders import Folders

    heads = {
        "cut": b"\x10\0\0\0",
        "long": (1 << 60).to_bytes(8, "little") + b"{}",
        "text": b"not a model at all" * 10,
        "list": (2).to_bytes(8, "little") + b"[]",
        "deep": (20_000).to_bytes(8, "little") + b"[" * 20_000,
        "beyond": (60).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}'.ljust(60),
        "negative": (58).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[-9],"data_offsets":[-9,0]}}'.ljust(58),
        "empty": b"",
    }
    for name, data in heads.items():
        (tmp_path / f"{name}.safetensors").write_bytes(data)
    (tmp_path / "pickle.ckpt").write_bytes(b"\x80\x04cos\nsystem\n(S'echo'\ntR.")
    catalogues = live.service.manifest.catalogues
    folders = Folders((tmp_path, *live.service.manifest.models))
    cards = lambda: Catalogue(folders, catalogues)  # noqa: E731
    monkeypatch.setattr("graphengine.service.Catalogue", lambda *_: cards())
    answer = live.ask("GET", "/api/models")
    assert answer.status == 200
    rows = {row["name"]: row for row in answer.json["models"]}
    assert heads.keys() <= rows.keys()
    for name in heads:
        assert rows[name]["problem"] or rows[name]["kind"] == "unknown", rows[name]
        assert str(tmp_path) not in rows[name]["problem"]
    assert rows["storybook"]["problem"] == ""
