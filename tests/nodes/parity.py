"""Parity rows: what was compared with a reference, and by how much it differs; printed after the tests."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Row(NamedTuple):
    """One line: the family, what was done, the largest difference relative to the largest value."""

    family: str
    what: str
    difference: float


ROWS: list[Row] = []


def parity_row(name: str, found: Tensor, wanted: Tensor, limit: float = 1e-4) -> float:
    """Assert that `found` is `wanted` within `limit` of its largest value, and add a row to the table.

    `name` is "family: what was done". Gives the relative difference.
    """
    found, wanted = found.detach().double(), wanted.detach().double()
    assert found.shape == wanted.shape, f"{name}: {tuple(found.shape)} is not {tuple(wanted.shape)}"
    assert wanted.isfinite().all(), f"{name}: the reference is not finite"
    assert wanted.std() > 1e-3, f"{name}: the reference is the same everywhere, so it shows nothing"
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    family, _, what = name.partition(": ")
    ROWS.append(Row(family, what, difference))
    assert difference <= limit, f"{name}: differs by {difference:.1e}, more than {limit:.0e}"
    return difference


def table() -> list[str]:
    """The rows as lines of text; equal to the bit is said in words."""
    return [
        f"{row.family:<14} {row.what:<62} {'equal' if row.difference == 0 else f'{row.difference:.1e}'}"
        for row in sorted(ROWS)
    ]
