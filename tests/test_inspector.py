"""`debug` finds the nodes that break the laws, names them, and lets correct workflows pass."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import samples
import torch
from samples import TYPES, body, call, file, link, ran

from graphengine import events
from graphengine.authoring import NO_CONTEXT, Body, Context, Lazy, node
from graphengine.cache import Cache
from graphengine.config import Settings
from graphengine.errors import NodeImpure
from graphengine.registry import Manifest, Pack
from graphengine.session import Outcome, Session
from graphengine.signature import read
from graphengine.types import Image, WireType
from graphengine.workflow import Workflow

T = TypeVar("T")
numbers = itertools.count()
"""What makes one call differ from the next."""


@WireType("Latent")
@dataclass(frozen=True, eq=False)
class Latent:
    """A class of a pack, with a tensor in it."""

    samples: torch.Tensor


class Both(NamedTuple):
    image: Image
    number: int


@node
def picture(n: int) -> Image:
    """A small one."""
    ran.append("picture")
    return torch.full((1, 2, 2, 3), n / 10)


@node
def latent(n: int) -> Latent:
    """One in a class."""
    return Latent(torch.full((4,), float(n)))


@node
def brighten(image: Image, by: float = 0.1) -> Image:
    """As it should be."""
    return image + by


@node
def how_many(images: list[Image]) -> int:
    """As it should be."""
    return len(images)


@node
def spoil(image: Image, by: float = 0.1) -> Image:
    """Changes its input in place."""
    return image.add_(by)


@node
def spoil_latent(latent: Latent) -> int:
    """Changes what is in a class."""
    latent.samples.mul_(2)
    return 1


@node
def spoil_list(images: list[Image]) -> int:
    """Changes one of several."""
    images[1][0, 0] = 1.0
    return 1


@node
def spoil_order(items: list[int]) -> int:
    """Sorts its input."""
    items.sort()
    return items[0]


@node
def spoil_effect(image: Image) -> None:
    """An effect that changes its input."""
    image.zero_()


@node(device="io")
def spoil_io(image: Image) -> int:
    """Changes its input in a thread."""
    image.zero_()
    return 1


@node
async def spoil_awaiting(image: Image) -> int:
    """Changes its input later."""
    image.zero_()
    return 1


@node
async def spoil_around(image: Image, body: Body[[int], int]) -> int:
    """Changes its input between two calls of a body."""
    await body(1)
    image.zero_()
    return await body(2)


def spoil_many(image: list[Image], by: float) -> list[Any]:
    """Changes one of several inputs."""
    image[-1].add_(by)
    return [i + 1 for i in image]


@node(batched=spoil_many)
def spoil_batched(image: Image, by: float = 0.1) -> Image:
    """Does so in a batch only."""
    return image + 1


@node
def random(n: int) -> int:
    """Something else each time."""
    return next(numbers)


@node
def random_picture(n: int) -> Image:
    """Other noise each time."""
    return torch.rand(1, 2, 2, 3)


@node
def random_number(n: int) -> Both:
    """Of two outputs, one differs."""
    return Both(torch.zeros(1, 2, 2, 3), next(numbers))


@node(device="io")
def random_io(n: int) -> int:
    """Something else each time, in a thread."""
    return next(numbers)


@node
async def random_awaiting(n: int) -> int:
    """Something else each time, later."""
    return next(numbers)


def random_many(n: list[int]) -> list[int]:
    return [i + next(numbers) for i in n]


@node(batched=random_many)
def random_batched(n: int) -> int:
    """Something else each time, in a batch only."""
    return n


@node(cache="none")
def dice(n: int) -> int:
    """Something else each time, and it says so."""
    ran.append("dice")
    return next(numbers)


weather = ["sun"]


@node
def outside(n: int) -> str:
    """Depends on what is no input; takes long enough to be kept on disk."""
    ran.append("outside")
    time.sleep(0.003)
    return weather[0]


@node
def outside_picture(n: int) -> Image:
    """The same as a picture."""
    time.sleep(0.003)
    return torch.full((1, 2, 2, 3), float(len(weather[0])))


def outside_many(n: list[int]) -> list[str]:
    time.sleep(0.006)
    return [weather[0]] * len(n)


@node(batched=outside_many, exact=True)
def outside_batched(n: int) -> str:
    """The same in a batch."""
    return outside(n)


@node
async def chosen(first: bool, a: Lazy[T], b: Lazy[T]) -> T:
    """One branch."""
    return await (a if first else b)


@node(cache="none")
def reports(n: int, ctx: Context = NO_CONTEXT) -> int:
    """Uses its context."""
    ctx.progress(1, 2)
    return n


FUNCTIONS = (
    *(
        picture,
        latent,
        brighten,
        how_many,
        spoil,
        spoil_latent,
        spoil_list,
        spoil_order,
        spoil_effect,
        spoil_io,
    ),
    *(spoil_awaiting, spoil_around, spoil_batched, random, random_picture, random_number, random_io),
    *(random_awaiting, random_batched, dice, outside, outside_picture, outside_batched, chosen, reports),
)
MINE = TYPES | {t.id: t for t in (read(f, "t", f.__name__) for f in FUNCTIONS)}


def session(folder: Path, **settings: Any) -> Session:
    """A session that knows these nodes; another one for the same folder is as a new process."""
    made = Session(Settings(cache=folder, outputs=folder / "out", models=(), device="cpu", **settings))
    made.manifest = Manifest(MINE, (*samples.REGISTRY.packs, Pack("t", __name__, "1")))
    made.bound = {**MINE}
    return made


@pytest.fixture
def here(tmp_path: Path) -> Session:
    ran.clear()
    weather[:] = ["sun"]
    return session(tmp_path)


def debug(here: Session, text: str) -> Outcome:
    return here.run(Workflow.parse(text), debug=True)


def blamed(here: Session, text: str) -> dict[str, str]:
    """The nodes that were found, and what is said of them."""
    failures = debug(here, text).failures
    assert {type(e) for e in failures.values()} <= {NodeImpure}
    return {node: str(e) for node, e in failures.items()}


# -- inputs that are changed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "input"),
    [("spoil", "image"), ("spoil_effect", "image"), ("spoil_io", "image"), ("spoil_awaiting", "image")],
)
def test_a_node_that_changes_its_input_is_named_with_the_input(here: Session, kind: str, input: str) -> None:
    text = file({}, p=call("picture", n=1), s=call(kind, image=link("p.image")))
    if kind != "spoil_effect":
        output = "image" if kind == "spoil" else "value"
        text = text.replace('"outputs": {}', f'"outputs": {{"v": "s.{output}"}}')
    assert blamed(here, text) == {
        "s": f"t.{kind} changes its input 'image', which others share; let it work on a copy, such as "
        "`image.clone()`"
    }


def test_a_change_inside_of_a_class_or_a_list_is_seen(here: Session) -> None:
    text = file(
        {"a": "s.value", "b": "l.value", "c": "o.value"},
        p=call("picture", n=1),
        q=call("picture", n=2),
        z=call("latent", n=1),
        s=call("spoil_latent", latent=link("z.latent")),
        l=call("spoil_list", images=[link("p.image"), link("q.image")]),
        o=call("spoil_order", items=[3, 1, 2]),
    )
    found = blamed(here, text)
    assert {node: said.split("'")[1] for node, said in found.items()} == {
        "s": "latent",
        "l": "images",
        "o": "items",
    }


@pytest.mark.parametrize("off", [{"disk_cache": 0}, {"memory_cache": 0, "disk_cache": 0}])
def test_it_is_seen_without_a_cache_too(tmp_path: Path, off: dict[str, int]) -> None:
    text = file({"a": "s.value"}, z=call("latent", n=1), s=call("spoil_latent", latent=link("z.latent")))
    assert [*blamed(session(tmp_path, **off), text)] == ["s"]


def test_a_node_that_calls_a_body_is_watched_around_it(here: Session) -> None:
    whole = body(["i"], {"x": "y.value"}, y=call("add", a=link("i"), b=1))
    text = file(
        {"v": "s.value"}, p=call("picture", n=1), s=call("spoil_around", image=link("p.image"), body=whole)
    )
    assert [*blamed(here, text)] == ["s"]


def test_a_step_of_a_loop_is_watched_in_each_round(here: Session) -> None:
    inside = {"s": call("spoil", image=link("x"), by=link("i"))}
    whole = body(["x", "i"], {"x": "s.image"}, **inside)
    text = file(
        {"v": "f.result"},
        p=call("picture", n=1),
        f=call("fold", start=link("p.image"), over=[0.0, 0.5], body=whole),
    )
    told: list[Any] = []
    outcome = here.run(Workflow.parse(text), debug=True, emit=told.append)
    assert [*outcome.failures] == ["s"]
    assert "changes its input 'image'" in str(outcome.failures["s"])
    assert sum(isinstance(e, events.BodyFinished) for e in told) == 1  # the round that adds 0.0 is well


def test_a_batch_is_watched_as_one(here: Session) -> None:
    inside = {
        "p": call("picture", n=link("i")),
        "q": call("brighten", image=link("p.image")),
        "s1": call("spoil_batched", image=link("p.image")),
        "s2": call("spoil_batched", image=link("q.image")),
        "e": call("how_many", images=[link("s1.image"), link("s2.image")]),
    }
    text = file({"v": "m.result"}, m=call("map", over=[1], body=body(["i"], {"x": "e.value"}, **inside)))
    assert set(blamed(here, text)) == {"s1", "s2"}


# -- two results for one key ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["random", "random_picture", "random_number", "random_io", "random_awaiting"]
)
def test_a_node_that_gives_two_results_is_named(here: Session, kind: str) -> None:
    output = {"random_picture": "image", "random_number": "number"}.get(kind, "value")
    text = file({"v": f"r.{output}", "good": "g.value"}, r=call(kind, n=1), g=call("add", a=1, b=2))
    assert blamed(here, text) == {
        "r": f"t.{kind} gives two results for the same inputs; draw what is random from a seed that is an "
        'input, or mark the node cache="none"'
    }


def test_in_a_batch_and_in_a_loop_too(here: Session) -> None:
    inside = {
        "r1": call("random_batched", n=link("i")),
        "r2": call("random_batched", n=5),
        "r3": call("random_batched", n=link("i2.value")),
        "i2": call("add", a=link("i"), b=1),
        "t": call("total", items=[link("r1.value"), link("r3.value")]),
    }
    text = file({"v": "m.result"}, m=call("map", over=[1, 2], body=body(["i"], {"x": "t.value"}, **inside)))
    assert set(blamed(here, text)) == {"r1", "r3"}
    one = body(["i"], {"x": "r.value"}, r=call("random", n=link("i")))
    assert [*blamed(here, file({"v": "m.result"}, m=call("map", over=[1, 2], body=one)))] == ["r"]


def test_a_node_that_says_so_may_give_something_else_each_time_and_runs_once(here: Session) -> None:
    text = file({"v": "b.value"}, d=call("dice", n=1), b=call("add", a=link("d.value"), b=1))
    assert debug(here, text).state == "done"
    assert ran.count("dice") == 1


# -- another result than before ------------------------------------------------------------------------------

BEFORE = (
    "gave another result in an earlier run, for the same inputs; it depends on something that is no input: "
    "give it a `fingerprint`, or a new `version` if its code changed"
)


@pytest.mark.parametrize("kind", ["outside", "outside_picture"])
def test_a_node_that_gave_another_result_in_an_earlier_process_is_named(
    here: Session, tmp_path: Path, kind: str
) -> None:
    output = "image" if "picture" in kind else "value"
    text = file({"v": f"o.{output}"}, o=call(kind, n=1))
    assert here.run(Workflow.parse(text)).state == "done"
    assert blamed(session(tmp_path), text) == {}
    weather[:] = ["snow"]
    later = session(tmp_path)
    assert blamed(later, text) == {"o": f"t.{kind} {BEFORE}"}
    assert later.run(Workflow.parse(text)).state == "done"  # without `debug` the cache is believed


def test_in_the_same_process_too_and_inside_of_loops_and_batches(here: Session) -> None:
    one = body(["i"], {"x": "o.value"}, o=call("outside", n=link("i")))
    loop = file({"v": "m.result"}, m=call("map", over=[1, 2], body=one))
    batch = file(
        {"v": "a.value", "w": "b.value"}, a=call("outside_batched", n=1), b=call("outside_batched", n=2)
    )
    for text in (loop, batch):
        assert here.run(Workflow.parse(text)).state == "done"
        assert blamed(here, text) == {}
    weather[:] = ["snow"]
    assert blamed(here, loop) == {"o": f"t.outside {BEFORE}"}
    assert blamed(here, batch) == {n: f"t.outside_batched {BEFORE}" for n in "ab"}


# -- what is right -------------------------------------------------------------------------------------------


def right() -> str:
    """Everything that is allowed."""
    inside = {
        "b": call("brighten", image=link("x"), by=link("i")),
        "c": call("brighten", image=link("b.image"), by=0.5),
        "e": call("show", value=3),
        "p1": call("predict", model=1, x=2, cond=3),
        "p2": call("predict", model=1, x=2, cond=4),
        "y": call("chosen", first=True, a=link("c.image"), b=link("x")),
    }
    return file(
        {"image": "f.result", "n": "t.value", "low": "s.low", "w": "w.value"},
        p=call("picture", n=1),
        f=call(
            "fold", start=link("p.image"), over=[0.1, 0.2], body=body(["x", "i"], {"x": "y.result"}, **inside)
        ),
        s=call("split", a=57),
        t=call("total", items=[link("s.low"), link("s.high"), 4]),
        w=call("fetch", n=4),
        twin=call("picture", n=1),
        r=call("reports", n=2),
        bl=call("blob", n=3),
        bm=call("mix", blob=link("bl.blob"), item=1),
        z=call("show", value=link("r.value")),
    )


def test_a_correct_workflow_passes_with_equal_results(here: Session, tmp_path: Path) -> None:
    plain = here.run(Workflow.parse(right()))
    for again in (here, session(tmp_path)):
        watched = debug(again, right())
        assert (watched.state, watched.failures) == ("done", {})
        assert torch.equal(watched.outputs["image"], plain.outputs["image"])
        for name in ("n", "low", "w"):
            assert watched.outputs[name] == plain.outputs[name]


def test_everything_is_run_anew_and_nothing_is_kept(here: Session) -> None:
    text = file({"v": "p.image"}, p=call("picture", n=1))
    here.run(Workflow.parse(text))
    ran.clear()
    debug(here, text)
    assert ran == ["picture", "picture"]
    ran.clear()
    here.run(Workflow.parse(text))
    assert ran == []
    other = file({"v": "p.image"}, p=call("picture", n=2))
    debug(here, other)
    here.run(Workflow.parse(other))
    assert ran == ["picture"] * 3


def test_a_limit_is_for_each_of_the_two_calls(here: Session) -> None:
    text = file(
        {"v": "p.value", "w": "q.value"}, p=call("slow", seconds=0.5), q=call("slow_awaiting", seconds=0.5)
    )
    here.bound |= SLOW
    here.manifest = Manifest(here.bound, here.manifest.packs)
    assert here.run(Workflow.parse(text), debug=True, limit=0.9).failures == {}


@node
def slow(seconds: float) -> int:
    """Takes so long."""
    threading.Event().wait(seconds)
    return 1


@node
async def slow_awaiting(seconds: float) -> int:
    """Waits so long."""
    import asyncio

    await asyncio.sleep(seconds)
    return 1


SLOW = {t.id: t for t in (read(f, "t", f.__name__) for f in (slow, slow_awaiting))}


def test_without_debug_nothing_is_watched(here: Session) -> None:
    text = file({"v": "s.image"}, p=call("picture", n=1), s=call("spoil", image=link("p.image")))
    assert here.run(Workflow.parse(text)).state == "done"
    assert ran == ["picture"]
    assert here.cache.limit != Cache(0).limit
