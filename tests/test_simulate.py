"""A simulated cluster: whatever its workers do, every job ends once; and a warm worker is preferred."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from simulate.fleet import Faults
from simulate.picture import course, draw
from simulate.play import MODELS, simulate

likely = st.sampled_from([0.0, 0.05, 0.2])


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """Hundreds of deaths are no news."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@given(st.integers(0, 2**32), st.integers(1, 6), likely, likely, likely)
@settings(max_examples=15, deadline=None)
def test_every_job_ends_once_whatever_the_workers_do(seed, workers, die, freeze, no_start):
    faults = Faults(seed, die=die, freeze=freeze, no_start=no_start)
    found = simulate(workers, 30, faults=faults, patience=1.0)
    assert sum(found.states.values()) == 30
    assert found.states.keys() <= {"done", "failed"}
    assert found.states.get("failed", 0) == 0 or die or freeze
    assert len(found.ends) == 30
    assert set(found.ends.values()) == {1}


def test_the_same_seed_gives_the_same_run():
    first, second = (simulate(4, 40, faults=Faults(3, die=0.1)) for _ in range(2))
    assert (first.seconds, first.times, first.loaded) == (second.seconds, second.times, second.loaded)


def test_a_picture_shows_what_happened_over_time(tmp_path):
    found = simulate(4, 40)
    seen = course(found)
    step = found.seconds / len(seen.seconds)
    assert round(sum(seen.ended) * step) == 40
    assert round(sum(seen.loads) * step) == len(found.loaded) > 0
    assert max(seen.busy) == 4
    assert max(seen.waiting) >= 30
    assert (seen.waiting[-1], seen.busy[-1]) == (0, 0)
    draw([("four workers", found), ("the same", found)], tmp_path / "made" / "it.png")
    with Image.open(tmp_path / "made" / "it.png") as picture:
        assert picture.width > 1000
        assert len(picture.getcolors(1 << 20) or ()) > 20


def test_where_workers_are_idle_jobs_go_to_those_that_have_their_model():
    """At a fifth of the load nearly every model is loaded once or twice, not once a job."""
    found = simulate(10, 400, 0.2)
    assert found.states == {"done": 400}
    assert len(found.loaded) < 4 * len(MODELS)
