"""Wire types of a pack's own: in the manifest, in check, in keys, on disk, and shown."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from graphengine import events, packs
from graphengine.codec import Codec, NotStorable
from graphengine.config import Settings
from graphengine.errors import PackError
from graphengine.inspector import Inspector
from graphengine.keys import canonical
from graphengine.registry import Manifest
from graphengine.server.routes.nodes import written
from graphengine.server.veil import Veil
from graphengine.session import Session
from graphengine.types import WireType
from graphengine.workflow import Workflow

FOLDER = Path(__file__).parent / "own_nodes"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(cache: Path) -> Session:
    return Session(Settings(cache=cache, nodes=(FOLDER,)))


@pytest.fixture
def palette(session: Session) -> Any:
    """The module of the pack."""
    packs.reachable(session.manifest.packs)
    import palette  # type: ignore[import-not-found]

    return palette


def file(*, by: float = 0.5) -> Workflow:
    """A picture as a palette, made darker, as a picture."""
    link = {"link": "red.image"}
    return Workflow.of(
        {
            "format": 1,
            "outputs": {"palette": "darker.palette", "image": "back.image"},
            "nodes": {
                "red": {"type": "image.solid", "inputs": {"colour": "#ff0000", "width": 4, "height": 4}},
                "colours": {"type": "palette.from_image", "inputs": {"image": link, "count": 1}},
                "darker": {
                    "type": "palette.darker",
                    "inputs": {"palette": {"link": "colours.palette"}, "by": by},
                },
                "back": {"type": "palette.to_image", "inputs": {"palette": {"link": "darker.palette"}}},
            },
        }
    )


def test_the_manifest_knows_the_type_and_its_converters(session: Session) -> None:
    manifest = Manifest.from_json(json.loads(session.manifest.data()))
    assert manifest.wires["Palette"] == WireType("Palette", "#e91e63", "Colours, in order.")
    mine = [found for found in manifest.converters if found["node"].startswith("palette.")]
    assert mine == [
        {
            "from": "Image",
            "to": "Palette",
            "node": "palette.from_image",
            "input": "image",
            "output": "palette",
        },
        {"from": "Palette", "to": "Image", "node": "palette.to_image", "input": "palette", "output": "image"},
    ]


def test_the_server_gives_them_to_the_editor(session: Session) -> None:
    found = json.loads(written(session.manifest, Veil([]), False))
    assert {"name": "Palette", "colour": "#e91e63", "doc": "Colours, in order."} in found["wires"]
    assert ["Image", "Palette"] in [[c["from"], c["to"]] for c in found["converters"]]
    assert ["Mask", "Image"] in [[c["from"], c["to"]] for c in found["converters"]]


def test_a_link_that_does_not_fit_is_told_with_the_converter_between(session: Session) -> None:
    nodes = {
        "red": {"type": "image.solid", "inputs": {}},
        "dark": {"type": "palette.darker", "inputs": {"palette": {"link": "red.image"}}},
        "save": {"type": "image.save", "inputs": {"image": {"link": "dark.palette"}}},
    }
    problems = session.check(Workflow.of({"format": 1, "nodes": nodes}))
    assert [str(problem) for problem in problems] == [
        "dark.palette: wants a Palette, but red.image is an Image; put palette.from_image between",
        "save.image: wants an Image, but dark.palette is a Palette; put palette.to_image between",
    ]


def test_a_value_is_shown_when_a_node_has_given_it_and_found_on_disk_by_another_process(cache: Path) -> None:
    settings = Settings(cache=cache / "values", nodes=(FOLDER,))
    heard: list[Any] = []
    first = Session(settings).run(file(), emit=heard.append)
    assert first.outputs["palette"].colours == ((0.5, 0.0, 0.0),)
    assert first.outputs["image"].shape == (1, 8, 8, 3)
    shown = [e for e in heard if isinstance(e, events.NodePreview)]
    assert [(e.node, tuple(e.image.shape)) for e in shown] == [
        ("colours", (1, 8, 8, 3)),
        ("darker", (1, 8, 8, 3)),
    ]
    order = [(type(e).__name__, getattr(e, "node", "")) for e in heard]
    assert order.index(("NodePreview", "darker")) == order.index(("NodeFinished", "darker")) + 1
    heard.clear()
    second = Session(settings).run(file(), emit=heard.append)
    assert heard[0].steps == ()
    assert second.outputs["palette"].colours == first.outputs["palette"].colours


def test_a_preview_that_fails_costs_nothing_but_itself(
    session: Session, palette: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = session.submit(file(by=0.25))
    session.bind(submitted)
    for kind in session.bound.values():
        object.__setattr__(kind, "shows", tuple((place, failing) for place, _ in kind.shows))
    with caplog.at_level(logging.ERROR, "graphengine.nodes"):
        assert session.run(file(by=0.25)).state == "done"
    assert "darker: there is no preview of what palette.darker gave" in caplog.text
    assert "no picture today" in caplog.text


def failing(value: Any) -> Any:
    raise ValueError("no picture today")


def test_equal_values_have_one_key_and_others_another(palette: Any) -> None:
    red, same, blue = palette.Palette([[1, 0, 0]]), palette.Palette([[1, 0, 0]]), palette.Palette([[0, 0, 1]])
    assert canonical(red) == canonical(same) != canonical(blue)
    assert canonical([red]) == canonical([same])


def test_a_value_survives_the_disk_and_what_its_decode_gives_is_looked_at(
    palette: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec({"palette"})
    value = palette.Palette([[0.25, 0.5, 1.0], [0, 0, 0]])
    data = codec.encode([value, 5])
    again, five = codec.decode(data)
    assert (type(again), again.colours, five) == (palette.Palette, value.colours, 5)
    with pytest.raises(ValueError, match="belongs to no pack"):
        Codec().decode(data)
    monkeypatch.setattr(
        palette.Palette, "__wire__", WireType("Palette", "#000", "", lambda p: 1, lambda data: data)
    )
    with pytest.raises(ValueError, match="the decode of palette:Palette gives a list"):
        codec.decode(data)
    monkeypatch.setattr(palette.Palette, "__wire__", WireType("Palette"))
    with pytest.raises(ValueError, match="nor a wire type that is decoded"):
        codec.decode(data)
    with pytest.raises(NotStorable, match="give its wire type `encode` and `decode`"):
        codec.encode(value)


def test_an_encode_that_fails_makes_a_value_that_is_not_stored(
    palette: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(palette.Palette, "__wire__", WireType("Palette", "#000", "", failing, failing))
    with pytest.raises(NotStorable, match="no picture today"):
        Codec({"palette"}).encode(palette.Palette([]))


def test_debug_compares_values_that_are_hashed_and_not_stored(
    palette: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(palette.Palette, "__wire__", WireType("Palette", "#000", hash=palette.hashed))
    digest = Inspector(Codec({"palette"})).digest
    assert digest(palette.Palette([[1]])) == digest(palette.Palette([[1]])) != digest(palette.Palette([[2]]))


def test_encode_and_decode_come_together() -> None:
    with pytest.raises(PackError, match="the wire type Palette is encoded or decoded only; give it both"):
        WireType("Palette", encode=len)
