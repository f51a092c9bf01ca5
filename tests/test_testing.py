"""The kit that authors of nodes test with, and its fixtures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import pytest
import torch
from pydantic import Field
from suites import passed

from graphengine import NO_CONTEXT, Body, Context, Image, Lazy, Mask, Seed, WireType, node
from graphengine.config import Settings
from graphengine.errors import Cancelled
from graphengine.session import Session
from graphengine.testing import Kit, Recorder, Saved, assert_images_close, assert_pure, run_node

S = TypeVar("S")
T = TypeVar("T")


class Edge(Enum):
    NEAR = "near"
    FAR = "far"


class Size(NamedTuple):
    width: int
    height: int


@dataclass(frozen=True)
class Weights:
    """A handle."""

    name: str

    def load(self, folders: Any, device: str) -> str:
        raise AssertionError("nothing is loaded in a test")


WireType("Weights")(Weights)


@node
def scale(image: Image, by: Annotated[float, Field(ge=0, le=1)] = 1.0, edge: Edge = Edge.NEAR) -> Image:
    assert isinstance(by, float)
    assert isinstance(edge, Edge)
    return image * by


@node
def size(image: Image) -> Size:
    return Size(image.shape[2], image.shape[1])


@node
async def choose(first: bool, one: Lazy[T], other: Lazy[T]) -> T:
    return await (one if first else other)


@node
async def fold(start: T, over: list[S], body: Body[[T, S], T]) -> T:
    for item in over:
        start = await body(start, item)
    return start


@node
def work(weights: Weights, ctx: Context = NO_CONTEXT) -> int:
    for done in range(5):
        ctx.progress(done, 5)
    ctx.preview(torch.zeros(1, 2, 2, 3))
    (ctx.temporary() / "scratch").write_text("x")
    ctx.save("result.txt", b"done", "text/plain")
    return len(ctx.use(weights))


PICTURE = torch.rand(1, 3, 4, 3, generator=torch.Generator().manual_seed(1))


def refused(node: Callable[..., Any], call: Callable[..., Any] = run_node, **inputs: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        call(node, **inputs)
    return str(caught.value)


# -- running a node ------------------------------------------------------------------------------------------


def test_literals_are_converted_and_defaults_filled_in() -> None:
    assert torch.equal(run_node(scale, image=PICTURE, by=1, edge="far"), PICTURE)
    assert torch.equal(run_node(scale, image=PICTURE, by=0, edge=Edge.FAR), PICTURE * 0)
    assert run_node(size, image=PICTURE) == (4, 3)


def test_lazies_are_values_and_bodies_are_functions() -> None:
    assert run_node(choose, first=False, one=1, other=2) == 2
    assert run_node(fold, start=1, over=[2, 3], body=lambda total, item: total * item) == 6

    async def later(total: int, item: int) -> int:
        return total + item

    assert run_node(fold, start=1, over=[2, 3], body=later) == 6


def test_a_seed_that_is_not_given_is_0() -> None:
    @node
    def draw(seed: Seed) -> int:
        return seed

    assert run_node(draw) == 0


def test_a_node_that_awaits_the_world_is_run() -> None:
    @node
    async def fetch(x: int) -> int:
        return x + 1

    assert run_node(fetch, x=1) == 2


def test_wrong_inputs_are_told_as_check_would() -> None:
    assert refused(scale).endswith(".scale needs its input 'image'; give it by name")
    assert refused(scale, picture=PICTURE).endswith(".scale has no input 'picture'; it has image, by, edge")
    assert refused(scale, image=PICTURE, by=2).endswith(".scale.by: 2 is above 1; choose 0 to 1")
    assert refused(lambda x: x).endswith("is no node; mark it with @node")


def test_a_result_that_was_not_promised_is_told() -> None:
    @node
    def flat(image: Image) -> Image:
        return image[0]

    @node
    def bright(image: Image) -> Image:
        return image + 5

    @node
    def mask(image: Image) -> Mask:
        return image

    @node
    def word(image: Image) -> int:
        return "five"  # type: ignore[return-value]

    @node
    def single(image: Image) -> Size:
        return 5  # type: ignore[return-value]

    @node
    def loud(image: Image) -> None:
        return 5  # type: ignore[return-value]

    @node
    def mixed(image: Image) -> list[int]:
        return [1, 2.5]  # type: ignore[list-item]

    for function, text in (
        (
            flat,
            "its image is torch.float32 [3, 4, 3], and an Image is float32 [batch, height, width, channels]",
        ),
        (bright, "its image has values from 5 to 6, and not from 0 to 1"),
        (mask, "its mask is torch.float32 [1, 3, 4, 3], and a Mask is float32 [batch, height, width]"),
        (word, "its value is 'five', and no int"),
        (single, "promises width, height, and gave 5"),
        (loud, "promises nothing, and gave 5"),
        (mixed, "its value has an item that is 2.5, and no int"),
    ):
        assert text in refused(function, image=PICTURE.round())


# -- the context ---------------------------------------------------------------------------------------------


def test_a_recorder_notes_what_a_node_asks_of_it(tmp_path: Path) -> None:
    weights = Weights("small")
    ctx = Recorder(tmp_path, models={weights: "abc"})
    assert run_node(work, weights=weights, ctx=ctx) == 3
    assert ctx.progressed == [(done, 5) for done in range(5)]
    assert [tuple(image.shape) for image in ctx.previews] == [(1, 2, 2, 3)]
    path = tmp_path / "outputs" / "result_0001.txt"
    assert ctx.saved == [Saved("result.txt", path, b"done", "text/plain")]
    assert path.read_bytes() == b"done"


def test_a_recorder_cancels_where_it_is_told_to(tmp_path: Path) -> None:
    ctx = Recorder(tmp_path, cancel_at=2)
    with pytest.raises(Cancelled):
        run_node(work, weights=Weights("small"), ctx=ctx)
    assert (len(ctx.progressed), ctx.saved) == (2, [])


# -- purity --------------------------------------------------------------------------------------------------


def test_a_pure_node_gives_what_it_gives() -> None:
    assert torch.equal(assert_pure(scale, image=PICTURE, by=0.5), PICTURE * 0.5)
    assert assert_pure(fold, start=1, over=[2, 3], body=lambda total, item: total * item) == 6


def test_a_node_that_changes_its_input_is_told() -> None:
    @node
    def spoil(image: Image) -> Image:
        return image.mul_(0.5)

    text = refused(spoil, assert_pure, image=PICTURE.clone())
    assert "changes its input 'image'; let it work on a copy, such as `image.clone()`" in text


def test_a_node_that_throws_dice_is_told_unless_it_is_not_cached() -> None:
    def dice(x: int) -> float:
        return float(torch.rand(()))

    assert "gives two results for the same inputs; draw" in refused(node(dice), assert_pure, x=1)
    assert 0 <= assert_pure(node(cache="none")(dice), x=1) < 1


@WireType("Loose")
class Loose:
    """A value that cannot be stored."""


def test_a_result_that_cannot_be_stored_is_told_unless_it_stays_in_memory() -> None:
    def make(x: int) -> Loose:
        return Loose()

    text = refused(node(make), assert_pure, x=1)
    assert 'or mark the node cache="memory"' in text
    assert type(assert_pure(node(cache="memory")(make), x=1)) is Loose


@WireType(
    "Forgetful", encode=lambda value: [], decode=lambda data: Forgetful(0), hash=lambda value: str(value.x)
)
class Forgetful:
    """A value that its codec makes another one of."""

    def __init__(self, x: int) -> None:
        self.x = x


def test_a_node_that_minds_whether_its_input_was_stored_is_told() -> None:
    @node
    def read(value: Forgetful) -> int:
        return value.x

    assert assert_pure(read, value=Forgetful(0)) == 0
    assert "gives another result for inputs that were stored" in refused(
        read, assert_pure, value=Forgetful(5)
    )


# -- pictures ------------------------------------------------------------------------------------------------


def test_pictures_are_compared_within_a_tolerance() -> None:
    other = PICTURE.clone()
    other[0, 1, 2, 0] += 0.5
    assert_images_close(PICTURE, PICTURE + 0.003)
    assert_images_close(PICTURE, other, tolerance=0.6)
    with pytest.raises(AssertionError) as caught:
        assert_images_close(PICTURE, other)
    assert str(caught.value) == (
        "1 of 36 values differ by more than 0.003922; the most, by 0.5, is in picture 0, row 1, column 2, "
        "channel 0"
    )
    with pytest.raises(AssertionError, match="the pictures are"):
        assert_images_close(PICTURE, other[:, :2])
    with pytest.raises(AssertionError, match=r"^1 of 36"):
        assert_images_close(PICTURE, torch.where(other == other[0, 1, 2, 0], float("nan"), PICTURE))


def test_a_picture_that_is_not_there_is_written_for_somebody_to_look_at(tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "expected.png"
    with pytest.raises(AssertionError, match="it is there now: look at it, and test again"):
        assert_images_close(PICTURE, path)
    assert_images_close(PICTURE, path)
    with pytest.raises(AssertionError, match="differ by more than"):
        assert_images_close(1 - PICTURE, str(path))


# -- with a session ------------------------------------------------------------------------------------------


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(
        Session(Settings(cache=tmp_path / "cache", nodes=(Path(__file__).parent / "own_nodes",))), tmp_path
    )


def test_nodes_of_packs_are_run_by_their_ids_and_workflows_with_their_inputs(kit: Kit) -> None:
    colours = kit.assert_pure("palette.from_image", image=PICTURE, count=3)
    assert len(kit.assert_pure("palette.darker", palette=colours).colours) == 3
    with pytest.raises(AssertionError, match=r"there is no node type 'no\.such'"):
        kit.run_node("no.such")
    file = {
        "format": 1,
        "inputs": {"first": "sum.first"},
        "outputs": {"sum": "sum.value"},
        "nodes": {"sum": {"type": "number.add", "inputs": {"first": 1, "second": 2}}},
    }
    assert kit.run_workflow(file, first=10) == {"sum": 12}
    assert kit.run_workflow(file) == {"sum": 3}


# -- the plug-in ---------------------------------------------------------------------------------------------

SUITE = """
import torch
from graphengine import NO_CONTEXT, Context, Image, node

@node
def soften(image: Image, ctx: Context = NO_CONTEXT) -> Image:
    ctx.progress(1, 2)
    return image / 2

def test_by_function(run_node, assert_pure, assert_images_close, ctx):
    image = torch.ones(1, 2, 2, 3)
    assert_images_close(run_node(soften, image=image, ctx=ctx), image / 2)
    assert ctx.progressed == [(1, 2)]
    assert_pure(soften, image=image)

def test_by_id(run_node, run_workflow, session, tmp_path):
    assert run_node("number.add", first=1, second=2) == 3
    nodes = {"sum": {"type": "number.add", "inputs": {"first": 1, "second": 2}}}
    file = {"format": 1, "inputs": {"a": "sum.first"}, "outputs": {"b": "sum.value"}, "nodes": nodes}
    assert run_workflow(file, a=5) == {"b": 7}
    assert session.settings.cache == tmp_path / "cache"
"""


def test_the_plug_in_gives_fixtures_and_warns_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SUITE)
    passed(tmp_path / "test_mine.py", 2)


def test_the_plug_in_imports_nothing_slow() -> None:
    code = (
        "import sys, graphengine.fixtures; "
        "print(sorted({'torch', 'typer', 'pydantic', 'numpy', 'diffusers', 'aiohttp'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
