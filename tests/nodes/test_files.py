"""Pictures in files: what is loaded, what a saved file holds, and what is refused."""

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageSequence
from torch import Tensor

from graphengine.authoring import Context, Folders
from graphengine.errors import GraphEngineError
from graphengine_nodes import files, images

WORKFLOW = {"format": 1, "name": "Häuser 屋 🏠", "nodes": {"noise": {"inputs": {"seed": 7}}}}


class Listener(Context):
    """A Context that writes into a folder and remembers what it was told."""

    def __init__(self, folder: Path, workflow: Mapping[str, Any] | None = None) -> None:
        self.folders = Folders(outputs=folder)
        self.workflow = workflow
        self.shown: list[Tensor] = []
        self.told: list[tuple[float, float]] = []
        self.media: list[str] = []

    def preview(self, image: Tensor) -> None:
        self.shown.append(image)

    def progress(self, done: float, total: float = 1.0) -> None:
        self.told.append((done, total))

    def save(self, name: str, data: bytes, media_type: str) -> Path:
        self.media.append(media_type)
        return super().save(name, data, media_type)


def picture(width: int = 12, height: int = 8, channels: int = 3, batch: int = 1, seed: int = 0) -> Tensor:
    """Random pixels that 8 bits can hold."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, height, width, channels), generator=generator).float() / 255


def smooth() -> Tensor:
    """Pixels that a lossy format keeps well."""
    across, down = torch.linspace(0, 1, 64), torch.linspace(0, 1, 48)
    red = across.expand(48, 64)
    return torch.stack([red, down[:, None].expand(48, 64), 1 - red], dim=-1)[None]


def chunks(data: bytes) -> dict[str, bytes]:
    """The chunks of a PNG by type, read without Pillow."""
    found, place = {}, 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        found[data[place + 4 : place + 8].decode() + str(place)] = data[place + 8 : place + 8 + size]
        place += size + 12
    return found


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def texts(data: bytes) -> dict[str, str]:
    """The tEXt chunks of a PNG by keyword."""
    rows = [body.split(b"\0", 1) for kind, body in chunks(data).items() if kind.startswith("tEXt")]
    return {key.decode(): value.decode("ascii") for key, value in rows}


@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_comes_back_to_the_bit(tmp_path: Path, channels: int) -> None:
    given = picture(channels=channels)
    before = given.clone()
    files.save(given, ctx=Listener(tmp_path))
    loaded = files.load(str(tmp_path / "picture_0001.png"), keep_alpha=channels == 4)
    assert torch.equal(loaded.image, given)
    assert torch.equal(given, before)
    assert torch.equal(loaded.mask, given[..., 3] if channels == 4 else torch.ones(1, 8, 12))


def test_a_grey_picture_is_loaded_with_three_channels(tmp_path: Path) -> None:
    given = picture(channels=1)
    files.save(given, "grey", ctx=Listener(tmp_path))
    assert torch.equal(files.load(str(tmp_path / "grey_0001.png")).image, given.expand(-1, -1, -1, 3))


def test_alpha_is_left_out_unless_it_is_kept(tmp_path: Path) -> None:
    given = picture(channels=4)
    files.save(given, ctx=Listener(tmp_path))
    image, mask = files.load(str(tmp_path / "picture_0001.png"))
    assert torch.equal(image, given[..., :3])
    assert torch.equal(mask, given[..., 3])


@pytest.mark.parametrize(("format", "ending"), [("jpeg", "jpg"), ("webp", "webp")])
def test_lossy_formats_keep_the_look(tmp_path: Path, format: Any, ending: str) -> None:
    listener = Listener(tmp_path)
    files.save(smooth(), "look", format, ctx=listener)
    loaded = files.load(str(tmp_path / f"look_0001.{ending}")).image
    assert (loaded - smooth()).abs().mean() < 0.02
    assert listener.media == [f"image/{format}"]


def test_a_jpeg_lays_transparency_on_white(tmp_path: Path) -> None:
    files.save(torch.zeros(1, 8, 8, 4), "clear", "jpeg", ctx=Listener(tmp_path))
    assert files.load(str(tmp_path / "clear_0001.jpg")).image.min() > 0.98


def test_a_png_holds_the_workflow_in_plain_ascii(tmp_path: Path) -> None:
    files.save(picture(), ctx=Listener(tmp_path, WORKFLOW))
    said = texts((tmp_path / "picture_0001.png").read_bytes())
    assert json.loads(said["workflow"]) == WORKFLOW
    assert said["Software"] == "GraphEngine"


def test_without_a_workflow_none_is_written(tmp_path: Path) -> None:
    files.save(picture(), ctx=Listener(tmp_path))
    assert texts((tmp_path / "picture_0001.png").read_bytes()) == {"Software": "GraphEngine"}


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, format: Any) -> None:
    for _ in range(2):
        files.save(picture(), "twin", format, ctx=Listener(tmp_path, WORKFLOW))
    first, second = sorted(tmp_path.iterdir())
    assert first.read_bytes() == second.read_bytes()


def test_each_picture_of_a_batch_is_a_file(tmp_path: Path) -> None:
    given, listener = picture(batch=3), Listener(tmp_path)
    files.save(given, "one", ctx=listener)
    for number, single in enumerate(images.unbatch(given), 1):
        assert torch.equal(files.load(str(tmp_path / f"one_{number:04}.png")).image, single)
    assert listener.told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("name", ["../out", "a/b", "a\\b", "", ".hidden", "c:x", "x" * 101, "line\n", "a\0b"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    listener = Listener(tmp_path / "out")
    for save in (lambda: files.save(picture(), name, ctx=listener),
                 lambda: files.save_animation([picture()], name, ctx=listener)):  # fmt: skip
        with pytest.raises(
            ValueError, match="is no name for a file; write one without a path, such as picture"
        ):
            save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_picture_of_no_numbers_is_told(tmp_path: Path, value: float) -> None:
    given = picture()
    given[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"1 of 288 values of the picture are no numbers .* such as float32"):
        files.save(given, ctx=Listener(tmp_path))


def test_a_tensor_of_another_shape_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a picture has the shape .*, but this has \[8, 12, 3\]"):
        files.save(picture()[0], ctx=Listener(tmp_path))


def test_values_beyond_the_range_are_cut(tmp_path: Path) -> None:
    files.save(torch.tensor([[[[-1.0, 0.5, 2.0]]]]), ctx=Listener(tmp_path))
    assert torch.allclose(
        files.load(str(tmp_path / "picture_0001.png")).image.flatten(), torch.tensor([0, 128 / 255, 1])
    )


def test_preview_shows_the_picture() -> None:
    listener, given = Listener(Path("nowhere")), picture()
    files.preview(given, listener)
    assert listener.shown == [given]


def test_a_photo_is_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was turned to the left, so the picture is turned clockwise
    given = smooth()
    Pillow.fromarray((given[0] * 255).round().byte().numpy()).save(tmp_path / "p.jpg", exif=exif, quality=95)
    loaded = files.load(str(tmp_path / "p.jpg")).image
    assert loaded.shape == (1, 64, 48, 3)
    assert (loaded - images.rotate(given, 90)).abs().mean() < 0.02


def test_deep_grey_keeps_its_steps(tmp_path: Path) -> None:
    deep = np.array([[0, 1000, 30000, 65535]], dtype=np.uint16)
    Pillow.fromarray(deep).save(tmp_path / "deep.png")
    image, mask = files.load(str(tmp_path / "deep.png"))
    assert torch.allclose(image[0, 0, :, 1] * 65535, torch.tensor([0.0, 1000, 30000, 65535]))
    assert mask.min() == 1


@pytest.mark.parametrize("mode", ["P", "1", "LA", "CMYK"])
def test_other_kinds_of_pictures_are_read_as_colours(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("p.jpg" if mode == "CMYK" else "p.png")
    Pillow.new("RGB", (4, 4), "#ffffff").convert(mode).save(path)
    image, mask = files.load(str(path))
    assert image.shape == (1, 4, 4, 3)
    assert image.min() > 0.98
    assert mask.shape == (1, 4, 4)


def test_the_first_frame_of_a_gif_is_loaded(tmp_path: Path) -> None:
    files.save_animation(
        [images.solid(8, 8, "#ff0000"), images.solid(8, 8, "#0000ff")], ctx=Listener(tmp_path)
    )
    assert torch.allclose(
        files.load(str(tmp_path / "animation_0001.gif")).image, images.solid(8, 8, "#ff0000")
    )


def test_a_picture_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    for side in (8193, 12_000, 30_000):  # beyond our limit, and where Pillow warns and raises
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
        (tmp_path / "bomb.png").write_bytes(data)
        with pytest.raises(
            ValueError, match=r"bomb\.png has more than 67108864 pixels; make it smaller first"
        ):
            files.load(str(tmp_path / "bomb.png"))


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.png is no PNG, JPEG, WebP or GIF picture"):
        files.load(str(tmp_path / "text.png"))
    files.save(picture(64, 64), ctx=Listener(tmp_path))
    whole = (tmp_path / "picture_0001.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.png is damaged .* save it anew"):
        files.load(str(tmp_path / "half.png"))
    with pytest.raises(GraphEngineError, match="there is no file"):
        files.load(str(tmp_path / "missing.png"))


def test_a_kind_that_is_not_named_is_not_opened(tmp_path: Path) -> None:
    Pillow.new("RGB", (4, 4)).save(tmp_path / "p.bmp")
    with pytest.raises(
        ValueError, match=r"p\.bmp is no PNG, JPEG, WebP or GIF picture; convert it to one of them"
    ):
        files.load(str(tmp_path / "p.bmp"))


def test_the_fingerprint_follows_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = Folders(inputs=(tmp_path,))
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
        Pillow.fromarray((picture(seed=seed)[0] * 255).byte().numpy()).save(tmp_path / name)
    assert (
        files.content("a.png", folders) == files.content("b.png", folders) != files.content("c.png", folders)
    )
    with pytest.raises(GraphEngineError, match="there is no file"):
        files.content("../a.png", folders)


FRAMES = [images.solid(16, 8, colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]


@pytest.mark.parametrize(("format", "ending"), [("gif", "gif"), ("webp", "webp"), ("apng", "png")])
def test_an_animation_plays_its_frames_in_order(tmp_path: Path, format: Any, ending: str) -> None:
    listener = Listener(tmp_path, WORKFLOW)
    files.save_animation([torch.cat(FRAMES[:2]), FRAMES[2]], "play", format, 0.2, hold=1, ctx=listener)
    assert listener.media == [f"image/{format}"]
    with Pillow.open(tmp_path / f"play_0001.{ending}") as opened:
        assert opened.info["loop"] == 0
        assert opened.n_frames == 3
        found, durations = [], []
        for frame in ImageSequence.Iterator(opened):
            found.append(torch.from_numpy(np.array(frame.convert("RGB"))).float() / 255)
            durations.append(frame.info["duration"])
    for frame, expected in zip(found, FRAMES, strict=True):
        assert (frame - expected[0]).abs().max() < 0.05
    assert durations == [200, 200, 1200]


@pytest.mark.parametrize(("format", "ending"), [("gif", "gif"), ("webp", "webp"), ("apng", "png")])
def test_an_animation_plays_once_if_told(tmp_path: Path, format: Any, ending: str) -> None:
    files.save_animation(FRAMES, "once", format, loop=False, ctx=Listener(tmp_path))
    with Pillow.open(tmp_path / f"once_0001.{ending}") as opened:
        assert opened.info.get("loop", 1) == 1


@pytest.mark.parametrize("format", ["gif", "webp", "apng"])
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, format: Any) -> None:
    frames = [picture(40, 30, seed=seed) for seed in range(3)]
    for _ in range(2):
        files.save_animation(frames, "twin", format, ctx=Listener(tmp_path, WORKFLOW))
    first, second = sorted(tmp_path.iterdir())
    assert first.read_bytes() == second.read_bytes()


def test_animations_hold_the_workflow(tmp_path: Path) -> None:
    long = WORKFLOW | {"description": "x" * 2000}
    for format in ("gif", "apng"):
        files.save_animation(FRAMES, "made", format, ctx=Listener(tmp_path, long))
    assert json.loads(texts((tmp_path / "made_0001.png").read_bytes())["workflow"]) == long
    with Pillow.open(tmp_path / "made_0001.gif") as opened:
        assert json.loads(opened.info["comment"]) == long


def test_a_gif_looks_like_its_frames(tmp_path: Path) -> None:
    files.save_animation([smooth(), smooth().flip(2)], "look", ctx=Listener(tmp_path))
    loaded = files.load(str(tmp_path / "look_0001.gif")).image
    assert (loaded - smooth()).abs().mean() < 0.03


@pytest.mark.parametrize("format", ["gif", "webp", "apng"])
def test_one_frame_is_an_animation_too(tmp_path: Path, format: Any) -> None:
    files.save_animation([FRAMES[0]], "still", format, ctx=Listener(tmp_path))
    (path,) = tmp_path.iterdir()
    assert (files.load(str(path)).image - FRAMES[0]).abs().max() < 0.05


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="frame 2 is 9 x 8 pixels, but frame 0 is 12 x 8; resize the pictures to one size"
    ):
        files.save_animation([picture(batch=2), picture(9)], ctx=Listener(tmp_path))
    with pytest.raises(ValueError, match="there is no picture to animate; link at least one"):
        files.save_animation([], ctx=Listener(tmp_path))


def test_a_painted_mask_selects_what_is_white_and_not_transparent(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), dtype=np.uint8)
    pixels[0, :] = (255, 255, 255, 255)
    pixels[1, 0] = (255, 255, 255, 0)
    pixels[1, 1] = (128, 128, 128, 255)
    pixels[1, 2] = (0, 0, 0, 255)
    Pillow.fromarray(pixels, "RGBA").save(tmp_path / "mask.png")
    mask = files.load_mask(str(tmp_path / "mask.png"))
    assert mask.shape == (1, 2, 3)
    assert torch.allclose(mask[0], torch.tensor([[1.0, 1.0, 1.0], [0.0, 128 / 255, 0.0]]))
