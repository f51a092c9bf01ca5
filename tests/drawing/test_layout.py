"""Boxes stand apart, in order; wires start and end at their ports."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from graphengine.drawing.layout import Box, place

sizes = st.tuples(st.integers(1, 300), st.integers(1, 200))


@st.composite
def drawings(draw):
    """Boxes of any size, and wires between them that run forwards."""
    found = draw(st.lists(sizes, min_size=1, max_size=12))
    boxes = {f"b{i}": Box(w, h, {"in": h / 3}, {"out": h / 2}) for i, (w, h) in enumerate(found)}
    ends = st.tuples(st.integers(0, len(boxes) - 1), st.integers(0, len(boxes) - 1)).filter(
        lambda e: e[0] < e[1]
    )
    pairs = draw(st.lists(ends, max_size=20)) if len(boxes) > 1 else []
    return boxes, [((f"b{a}", "out"), (f"b{b}", "in")) for a, b in pairs]


@given(drawings())
def test_no_two_boxes_overlap_and_all_are_inside(drawing):
    boxes, wires = drawing
    placed = place(boxes, wires)
    assert placed.at.keys() == boxes.keys()
    for name, (x, y) in placed.at.items():
        assert x >= 0
        assert y >= -1e-6
        assert x + boxes[name].width <= placed.width + 1e-6
        assert y + boxes[name].height <= placed.height + 1e-6
    for a, b in combinations(boxes, 2):
        (ax, ay), (bx, by) = placed.at[a], placed.at[b]
        apart_x = ax + boxes[a].width <= bx or bx + boxes[b].width <= ax
        apart_y = ay + boxes[a].height <= by + 1e-6 or by + boxes[b].height <= ay + 1e-6
        assert apart_x or apart_y


@given(drawings())
def test_a_wire_runs_to_the_right_from_port_to_port(drawing):
    boxes, wires = drawing
    placed = place(boxes, wires)
    for (source, target), path in zip(wires, placed.paths, strict=True):
        (ax, ay), (bx, by) = placed.at[source[0]], placed.at[target[0]]
        assert path[0] == (ax + boxes[source[0]].width, ay + boxes[source[0]].outs["out"])
        assert path[-1] == (bx, by + boxes[target[0]].ins["in"])
        assert [x for x, _ in path] == sorted(x for x, _ in path)


def test_entry_and_exit_stand_alone_at_the_ends():
    box = Box(10, 10, {"in": 5}, {"out": 5})
    boxes = dict.fromkeys(["<", "a", "b", ">"], box)
    placed = place(boxes, [((">", "out"), ("a", "in")), (("b", "out"), ("<", "in"))], entry=">", exit="<")
    lefts = {name: x for name, (x, _) in placed.at.items()}
    assert lefts[">"] < min(lefts["a"], lefts["b"])
    assert lefts["<"] > max(lefts["a"], lefts["b"])


def test_a_chain_is_a_straight_line():
    boxes = {
        name: Box(50, height, {"in": 7}, {"out": 7}) for name, height in (("a", 30), ("b", 90), ("c", 20))
    }
    placed = place(boxes, [(("a", "out"), ("b", "in")), (("b", "out"), ("c", "in"))])
    assert len({round(y, 6) for path in placed.paths for _, y in path}) == 1


def test_a_cycle_is_laid_out_too():
    box = Box(10, 10, {"in": 5}, {"out": 5})
    placed = place({"a": box, "b": box}, [(("a", "out"), ("b", "in")), (("b", "out"), ("a", "in"))])
    assert placed.at["a"] != placed.at["b"]
