"""The store keeps what was submitted, its events and its outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.scenes import Clock
from storing import DRAFT, REQUEST, claimed, ended

from graphengine.errors import Conflict, NotFound, OverLimit, StoreError
from graphengine.store.jobs import Draft, Request
from graphengine.store.journal import EVENT_LIMIT
from graphengine.store.store import Store

# Submitting


def test_a_submitted_job_is_there_after_a_restart(store: Store, clock: Clock) -> None:
    job = store.submit(REQUEST, priority=3, client="anna", key="k")
    store.close()
    with Store(store.folder, clock=clock) as again:
        assert again.job(job.id) == job
        assert again.request(job.id) == REQUEST
    assert (job.state, job.attempts, job.priority, job.client, job.created) == (
        "queued",
        0,
        3,
        "anna",
        1000.0,
    )


def test_what_a_submit_gives_is_what_is_there(store: Store) -> None:
    job = store.submit(REQUEST, priority=3, client="anna", key="k")
    assert store.job(job.id) == job


def test_the_last_events_of_a_job_come_with_its_end_and_before_it(store: Store) -> None:
    job = store.submit(REQUEST)
    lease = claimed(store)
    assert store.finish(lease, "done", events=['{"a": 1}', '{"a": 2}'])
    texts = [entry.text for entry in store.journal.read(job=job.id).entries]
    assert texts[2:] == ['{"a": 1}', '{"a": 2}', '{"event": "job", "state": "done"}']
    assert not store.finish(lease, "done", events=['{"a": 3}'])
    assert store.journal.read().last == 5
    store.retry(store.queue.cancel(store.submit(REQUEST).id).id)
    with pytest.raises(OverLimit, match="too large"):
        store.finish(claimed(store), "done", events=["x" * (EVENT_LIMIT + 1)])


def test_the_same_key_gives_the_same_job(store: Store) -> None:
    job = store.submit(REQUEST, client="anna", key="k")
    again = Request(REQUEST.workflow, {"prompt": "a tree", "seed": 7}, REQUEST.targets)
    assert store.submit(again, client="anna", key="k") == job
    assert store.submit(REQUEST, client="boris", key="k").id != job.id
    assert store.counts()["queued"] == 2


@pytest.mark.parametrize(
    ("other", "priority"),
    [
        (Request("{}", REQUEST.inputs, REQUEST.targets), 0),
        (Request(REQUEST.workflow, {"seed": 8}, REQUEST.targets), 0),
        (Request(REQUEST.workflow, REQUEST.inputs, ()), 0),
        (REQUEST, 1),
    ],
    ids=["workflow", "inputs", "targets", "priority"],
)
def test_a_key_is_refused_with_another_request(store: Store, other: Request, priority: int) -> None:
    store.submit(REQUEST, key="k")
    with pytest.raises(Conflict, match="the key 'k' was used for another request"):
        store.submit(other, priority=priority, key="k")
    assert store.counts()["queued"] == 1


def test_a_client_has_so_many_jobs_and_no_more(tmp_path: Path) -> None:
    with Store(tmp_path, per_client=2) as store:
        first = store.submit(REQUEST, client="anna", key="k")
        store.submit(REQUEST, client="anna")
        with pytest.raises(OverLimit, match="2 jobs wait or run"):
            store.submit(REQUEST, client="anna")
        assert store.submit(REQUEST, client="anna", key="k") == first
        store.submit(REQUEST, client="boris")
        store.queue.cancel(first.id)
        store.submit(REQUEST, client="anna")


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda store: store.submit(REQUEST, priority=5000), "priority: 5000 is out of range"),
        (lambda store: store.submit(REQUEST, key="k" * 201), "200 characters at most"),
        (lambda store: store.submit(Request("{}", {"a": float("nan")})), "plain JSON values"),
        (lambda store: store.submit(Request("{}", {"a": object()})), "plain JSON values"),
        (lambda store: store.submit(Request("\ud800")), "cannot be used"),
        (lambda store: store.job("nothing"), "there is no job 'nothing'"),
        (lambda store: store.request("nothing"), "there is no job 'nothing'"),
        (lambda store: store.queue.cancel("nothing"), "there is no job 'nothing'"),
        (lambda store: store.queue.prioritise("nothing", 1), "there is no job 'nothing'"),
        (lambda store: store.pin("nothing"), "there is no job 'nothing'"),
        (lambda store: store.remove("nothing"), "there is no job 'nothing'"),
        (lambda store: store.outputs.find("../../etc/passwd"), "there is no output"),
        (lambda store: store.jobs(cursor="-1"), "'-1' is no cursor"),
        (lambda store: store.jobs(cursor="²"), "is no cursor"),
        (lambda store: store.jobs(cursor="9" * 30), "is no cursor"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(
    store: Store, ask: Callable[[Store], object], text: str
) -> None:
    with pytest.raises(StoreError, match=text):
        ask(store)
    assert store.counts()["queued"] == 0


# Listing


def test_pages_hold_each_job_once_newest_first_whatever_is_submitted_meanwhile(store: Store) -> None:
    ids = [store.submit(REQUEST).id for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = store.jobs(cursor=cursor, limit=3)
        seen += [job.id for job in page.jobs]
        store.submit(REQUEST)
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_a_listing_is_filtered_by_state_and_client(store: Store) -> None:
    anna, boris, other = (store.submit(REQUEST, client=name).id for name in ("anna", "boris", "anna"))
    store.queue.cancel(other)
    assert [job.id for job in store.jobs(client="anna").jobs] == [other, anna]
    assert [job.id for job in store.jobs(states=["queued"], client="anna").jobs] == [anna]
    assert [job.id for job in store.jobs(states=["cancelled", "queued"]).jobs] == [other, boris, anna]
    assert store.counts() == {"queued": 2, "running": 0, "done": 0, "failed": 0, "cancelled": 1}


# Events


def texts(store: Store, job: str) -> list[str]:
    return [entry.text for entry in store.journal.read(job=job).entries]


def test_events_are_numbered_without_gaps_and_read_from_anywhere(store: Store) -> None:
    first, second = store.submit(REQUEST).id, store.submit(REQUEST).id
    lease = claimed(store)
    assert store.journal.append(first, lease.epoch, ['{"a": 1}', '{"a": 2}'])
    assert store.finish(lease, "done")
    whole = store.journal.read()
    assert [entry.sequence for entry in whole.entries] == [1, 2, 3, 4, 5, 6]
    assert (whole.last, whole.lost) == (6, False)
    assert [entry.sequence for entry in store.journal.read(2, limit=2).entries] == [3, 4]
    assert store.journal.read(2, limit=2).last == 4
    assert store.journal.read(1, job=second).entries[0].sequence == 2
    assert store.journal.read(2, job=second).last == 6
    assert texts(store, first)[2:] == ['{"a": 1}', '{"a": 2}', '{"event": "job", "state": "done"}']
    assert store.journal.read(6) == store.journal.read(6, job=first)


def test_the_reason_of_a_failure_is_among_the_events(store: Store) -> None:
    job = store.submit(REQUEST)
    store.finish(claimed(store), "failed", error="\u0001" * 100_000)
    last = json.loads(texts(store, job.id)[-1])
    assert (last["state"], set(last["error"])) == ("failed", {"\u0001"})
    assert len(texts(store, job.id)[-1]) <= EVENT_LIMIT


def test_an_event_that_is_too_large_is_refused_with_those_beside_it(store: Store) -> None:
    job = store.submit(REQUEST)
    lease = claimed(store)
    with pytest.raises(OverLimit, match=f"an event of {EVENT_LIMIT + 1} bytes is too large"):
        store.journal.append(job.id, lease.epoch, ["1", "x" * (EVENT_LIMIT + 1)])
    assert len(texts(store, job.id)) == 2
    assert store.journal.append(job.id, lease.epoch, ["x" * EVENT_LIMIT])


def test_events_are_trimmed_from_the_beginning_and_a_reader_is_told(store: Store, clock: Clock) -> None:
    for _ in range(5):
        store.submit(REQUEST)
        clock.now += 10
    assert store.journal.trim(keep=4) == 1
    assert [entry.sequence for entry in store.journal.read(0).entries] == [2, 3, 4, 5]
    assert store.journal.read(0).lost
    assert not store.journal.read(1).lost
    assert store.journal.trim(before=1030.0) == 2
    assert store.journal.trim(before=9999.0) == 2
    assert store.journal.read(3).lost
    assert not store.journal.read(5).lost
    store.submit(REQUEST)
    assert [entry.sequence for entry in store.journal.read(5).entries] == [6]


def test_a_clock_that_is_set_back_tears_no_hole_into_the_events(store: Store, clock: Clock) -> None:
    for clock.now in (1000.0, 1010.0, 500.0, 1020.0):
        store.submit(REQUEST)
    assert store.journal.trim(before=1005.0) == 1
    assert [entry.sequence for entry in store.journal.read().entries] == [2, 3, 4]


# Outputs


def test_an_output_is_found_by_an_id_that_says_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"a film")
    job = ended(store, DRAFT, Draft("../film", "video/mp4", tmp_path / "film"))
    picture, film = store.outputs.of(job.id)
    assert (picture.name, picture.media, picture.size, picture.job) == ("picture.png", "image/png", 9, job.id)
    assert store.outputs.find(picture.id)[1].read_bytes() == b"a picture"
    found, path = store.outputs.find(film.id)
    assert found == film
    assert path.read_bytes() == b"a film"
    assert path.parent == store.outputs.folder
    assert store.outputs.size() == 15


def test_the_sweep_leaves_what_is_published_and_what_is_not_ours(store: Store) -> None:
    job = ended(store, DRAFT)
    old = store.outputs.folder / f".writing-{job.id}-1-{'0' * 16}"
    for path in (old, store.outputs.folder / ("f" * 32), store.outputs.folder / "README"):
        path.write_text("left")
    assert store.sweep() == 2
    left = {path.name for path in store.outputs.folder.iterdir()}
    assert left == {"README", store.outputs.of(job.id)[0].id}


def test_the_outputs_of_the_oldest_jobs_go_first_and_pinned_ones_stay(store: Store, clock: Clock) -> None:
    jobs = []
    for _ in range(5):
        jobs.append(ended(store, DRAFT, DRAFT).id)
        clock.now += 10
    store.pin(jobs[0])
    assert store.outputs.prune() == 0
    assert store.outputs.prune(limit=60) == 36
    assert [len(store.outputs.of(id)) for id in jobs] == [2, 0, 0, 2, 2]
    assert store.outputs.prune(before=1040.0) == 18
    assert [len(store.outputs.of(id)) for id in jobs] == [2, 0, 0, 0, 2]
    store.pin(jobs[0], False)
    assert store.outputs.prune(limit=0) == 36
    assert list(store.outputs.folder.iterdir()) == []
    assert store.counts()["done"] == 5


def test_a_removed_job_leaves_numbers_and_no_words(store: Store) -> None:
    job = ended(store, DRAFT)
    waiting = store.submit(REQUEST)
    store.remove(job.id)
    with pytest.raises(NotFound):
        store.job(job.id)
    assert list(store.outputs.folder.iterdir()) == []
    assert [entry.sequence for entry in store.journal.read().entries] == [1, 2, 3, 4, 5]
    assert set(texts(store, job.id)[:-1]) == {'{"event": "removed"}'}
    with pytest.raises(Conflict, match="is queued; cancel it first"):
        store.remove(waiting.id)


@pytest.mark.parametrize(
    ("state", "text"), [("queued", "cannot end as 'queued'"), ("failed", "has a reason")]
)
def test_a_job_ends_in_a_state_that_is_an_end_and_fails_for_a_reason(
    store: Store, state: str, text: str
) -> None:
    store.submit(REQUEST)
    with pytest.raises(StoreError, match=text):
        store.finish(claimed(store), state)  # type: ignore[arg-type]
