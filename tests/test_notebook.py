"""What a notebook gets to see: pictures, words, nothing that runs, and nothing without bounds."""

from __future__ import annotations

import base64
import copy
import io
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image as Pillow
from samples import REGISTRY, TYPES, body, call, file, link

from graphengine import notebook
from graphengine.config import Settings
from graphengine.errors import PackError
from graphengine.notebook import Result, in_words, output_types, shown
from graphengine.registry import Manifest
from graphengine.session import Runnable, Session
from graphengine.workflow import Workflow

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


class Page(HTMLParser):
    """The elements, the text and the pictures of some HTML; every element that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.images: list[Pillow.Image] = []
        self.styles: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"alt", "title", "style", "src"}
        if tag != "img":
            self.open.append(tag)
            return
        given = dict(attrs)
        head, _, data = str(given["src"]).partition(",")
        assert head == "data:image/png;base64"
        self.images.append(Pillow.open(io.BytesIO(base64.b64decode(data))))
        self.styles.append(str(given["style"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def session(tmp_path: Path) -> Session:
    session = Session(Settings(cache=tmp_path / "cache", outputs=tmp_path, models=(), device="cpu"))
    session.manifest = Manifest(TYPES, tuple(REGISTRY.packs))
    session.bound = {**TYPES}
    return session


ADD = file({"v": "a.value"}, {"x": "a.a"}, a=call("add", a=1, b=2))


# -- results -------------------------------------------------------------------------------------------------


def test_a_result_is_a_dict(session: Session) -> None:
    result = Runnable(Workflow.parse(ADD), session).run(x=3)
    assert isinstance(result, dict)
    assert result == {"v": 5}
    assert {**result} == {"v": 5}
    assert json.dumps(result) == '{"v": 5}'
    for other in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert (type(other), other, other.kinds) == (Result, result, {"v": "int"})


def test_the_types_of_outputs_are_those_that_check_finds(session: Session) -> None:
    """A type variable is what it stands for, and a target is named by its node."""
    fold = body(["x", "i"], {"x": "m.blob"}, m=call("mix", blob=link("x"), item=link("i")))
    more = body(["y"], {"z": "g.value"}, g=call("add", a=link("y"), b=1))
    workflow = Workflow.parse(file(
        {"r": "f.result", "s": "s.low", "l": "c.result"},
        b=call("blob", n=1), f=call("fold", start=link("b.blob"), over=[1], body=fold),
        s=call("split", a=12), c=call("map", over=[1], body=more),
    ))  # fmt: skip
    kinds = output_types(workflow, TYPES, [*workflow.root.outputs, "s.high", "f.result", "gone.value"])
    assert kinds == {
        "r": "Blob", "s": "int", "l": ("list", "int"), "s.high": "int", "f.result": "Blob",
        "gone.value": "any",
    }  # fmt: skip


def test_the_types_of_sub_workflows_are_those_of_what_they_run() -> None:
    inner = {"inputs": {"n": "k.n"}, "outputs": {"blob": "k.blob"}, "nodes": {"k": call("blob", n=1)}}
    data = json.loads(file({"b": "g.blob", "n": "o.value"}, o=call("number", blob=link("g.blob"))))
    data["nodes"]["g"] = {"type": "graph:inner", "inputs": {"n": 5}}
    workflow = Workflow.of(data | {"graphs": {"inner": inner}})
    assert output_types(workflow, TYPES, workflow.root.outputs) == {"b": "Blob", "n": "int"}


def test_the_types_are_found_out_only_when_asked_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphengine.session.output_types", lambda *given: pytest.fail("asked for"))
    assert session.run(Workflow.parse(ADD)).outputs == {"v": 3}


def test_a_result_is_shown_with_pictures_texts_and_numbers(tmp_path: Path) -> None:
    values = {
        "image": torch.rand(3, 4, 6, 3), "mask": torch.rand(1, 4, 6), "n": 2.5, "words": EVIL, "none": None,
        "path": tmp_path / "<b>.png", EVIL: True,
    }  # fmt: skip
    page = Page(Result(values, {"image": "Image", "mask": "Mask"})._repr_html_())
    assert [image.size for image in page.images] == [(6, 4)] * 3
    assert {*page.tags} == {"table", "tr", "th", "td", "div", "img"}
    for text in ("Tensor [1, 4, 6] float32", "2.5", EVIL, "None", str(tmp_path / "<b>.png"), "True"):
        assert text in page.text


def test_an_empty_result_says_so() -> None:
    assert Page(Result()._repr_html_()).text == "no outputs"


# -- pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_picture_is_shown_as_it_is(channels: int, mode: str) -> None:
    values = torch.linspace(0, 1, 4 * 5 * channels).reshape(1, 4, 5, channels)
    (image,) = Page(shown(values, "Image")).images
    assert image.mode == mode
    assert list(image.tobytes()) == (values * 255).round().byte().flatten().tolist()


def test_values_out_of_range_and_on_half_precision_are_shown() -> None:
    values = torch.tensor([-1.0, 0.5, 2.0, float("nan")], dtype=torch.bfloat16).reshape(1, 2, 2, 1)
    (image,) = Page(shown(values.requires_grad_(), "Image")).images
    assert list(image.tobytes()) == [0, 128, 255, 0]


def test_many_and_large_pictures_are_bounded() -> None:
    html = shown(torch.rand(40, 300, 600, 3), "Image")
    page = Page(html)
    assert len(page.images) == notebook.PICTURES
    assert "and 24 more" in page.text
    assert max(page.images[0].size) == 192
    assert len(html) < 3_000_000
    (alone,) = Page(shown(torch.zeros(1, 100, 5000, 3), "Image")).images
    assert alone.size[0] == notebook.SIDE
    assert 'title="5000 x 100"' in shown(torch.zeros(1, 100, 5000, 3), "Image")


def test_small_pictures_are_enlarged_without_blur() -> None:
    (style,) = Page(shown(torch.zeros(1, 16, 16, 3), "Image")).styles
    assert "width:192px" in style
    assert "pixelated" in style
    (style,) = Page(shown(torch.zeros(1, 200, 200, 3), "Image")).styles
    assert "pixelated" not in style


def test_a_list_of_pictures_is_shown_side_by_side() -> None:
    page = Page(shown([torch.rand(2, 4, 4, 3), torch.rand(1, 8, 8, 3)], ("list", "Image")))
    assert [image.size for image in page.images] == [(4, 4), (4, 4), (8, 8)]


@pytest.mark.parametrize(
    "value", [torch.rand(4, 4), torch.rand(0, 4, 4, 3), torch.rand(1, 4, 4, 7), "x", None]
)
def test_what_is_no_picture_is_told_in_words(value: Any) -> None:
    page = Page(shown(value, "Image"))
    assert page.images == []
    assert page.text


# -- words ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latent:
    samples: Any
    scale: float = 1.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16), "Tensor [1, 4, 8, 8] bfloat16"),
        (Latent(torch.zeros(2, 4)), "Latent(samples=Tensor [2, 4] float32, scale=1.0)"),
        ([1, "a", torch.zeros(2)], "[1, 'a', Tensor [2] float32]"),
        ({"a": (1, 2)}, "{'a': [1, 2]}"),
        (object(), "object"),
        ([[[["deep"]]]], "[[[list]]]"),
    ],
)
def test_a_value_in_words(value: Any, said: str) -> None:
    assert in_words(value) == said


def test_long_lists_and_texts_are_cut() -> None:
    assert in_words(list(range(100))).endswith("19, and 80 more]")
    assert in_words(dict.fromkeys(range(100))).endswith("19: None, and 80 more}")
    assert len(shown("x" * 10_000_000, "str")) < 2200
    assert len(shown(["x" * 10_000] * 10_000, "any")) < 2200


# -- workflows and outcomes ----------------------------------------------------------------------------------


def test_a_workflow_is_shown_as_svg_and_runs_no_script(session: Session) -> None:
    text = json.dumps(json.loads(file({}, s=call("show", value=1))) | {"name": EVIL})
    runnable = Runnable(Workflow.parse(text), session)
    assert repr(runnable) == f"<Runnable {EVIL}: 1 node>"
    root = ElementTree.fromstring(runnable._repr_svg_() or "")
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [e for e in root.iter() if e.tag.endswith(("script", "foreignObject"))]
    assert not [name for e in root.iter() for name in e.attrib if name.startswith("on")]


def test_a_workflow_alone_is_drawn_with_the_installed_nodes(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "known", lambda: session.manifest)
    workflow = Workflow.parse(ADD)
    assert workflow._repr_mimebundle_() == {
        "text/plain": "Workflow: 1 node", "image/svg+xml": Runnable(workflow, session)._repr_svg_(),
    }  # fmt: skip


def test_packs_that_cannot_be_read_cost_the_colours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Manifest:
        raise PackError("broken")

    monkeypatch.setattr(Manifest, "of", broken)
    assert "</svg>" in str(Workflow.parse(ADD)._repr_mimebundle_()["image/svg+xml"])


def test_a_workflow_with_problems_is_drawn_too() -> None:
    workflow = Workflow.parse(file({}, a=call("nope", x=link("gone.value"))))
    assert "</svg>" in str(notebook.drawing(workflow, Manifest(TYPES)))


def test_a_workflow_that_nobody_could_read_as_a_picture_is_told_in_words(session: Session) -> None:
    nodes = {f"n{i}": call("add", a=1, b=1) for i in range(notebook.DRAWN + 1)}
    runnable = Runnable(Workflow.parse(file({}, **nodes)), session)
    assert runnable._repr_svg_() is None
    assert repr(runnable) == f"<Runnable Workflow: {notebook.DRAWN + 1} nodes>"


def test_an_outcome_is_shown_with_its_state_files_and_failures(session: Session) -> None:
    text = file({"good": "a.value", "bad": "b.value"}, a=call("add", a=1, b=2), b=call("broken", a=5))
    outcome = session.run(Workflow.parse(text))
    assert repr(outcome) == "<Outcome failed: good>"
    page = Page(outcome._replace(files=(Path("out/<i>.png"),))._repr_html_())
    for said in ("failed", "b failed", "ValueError: no 5", "good", "3", "out/<i>.png"):
        assert said in page.text


def test_results_import_nothing_heavy_until_they_are_shown() -> None:
    code = """if True:
        import sys
        from graphengine.notebook import Result
        Result({"a": 1})
        print(sorted({"torch", "PIL", "pydantic", "networkx", "numpy"} & sys.modules.keys()))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
