"""The store keeps what was submitted, in order, and lets each job end once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from graphengine import database
from graphengine.database import FIRST, MIGRATIONS, Database, Rows
from graphengine.errors import Conflict, NotFound, OverLimit, StoreError
from graphengine.jobs import Draft, Job, Lease, Request
from graphengine.journal import EVENT_LIMIT
from graphengine.store import Store

REQUEST = Request('{"format": 1}', {"seed": 7, "prompt": "a tree"}, ("image",))
DRAFT = Draft("picture.png", "image/png", b"a picture")


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with Store(tmp_path / "store", clock=clock) as store:
        yield store


def claimed(store: Store, worker: str = "w") -> Lease:
    lease = store.queue.claim(worker)
    assert lease is not None
    return lease


def ended(store: Store, *drafts: Draft) -> Job:
    job = store.submit(REQUEST)
    assert store.finish(claimed(store), "done", drafts)
    return store.job(job.id)


def order(store: Store) -> list[str]:
    return [job.id for job in store.waiting()]


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


# The queue


def test_the_first_of_the_highest_priority_is_next(store: Store) -> None:
    low, high, other = (store.submit(REQUEST, priority=n).id for n in (0, 5, 0))
    assert order(store) == [high, low, other]
    assert [claimed(store).job.id for _ in range(3)] == [high, low, other]
    assert store.queue.claim("w") is None


def test_a_lease_holds_what_is_to_be_done(store: Store) -> None:
    job = store.submit(REQUEST)
    lease = claimed(store, "gpu 0")
    assert (lease.job.id, lease.request, lease.worker, lease.epoch) == (job.id, REQUEST, "gpu 0", 1)
    assert (lease.job.state, lease.job.attempts, lease.job.worker) == ("running", 1, "gpu 0")
    assert lease.expires == 1000.0 + store.queue.lease


def test_a_heartbeat_makes_a_lease_longer(store: Store, clock: Clock) -> None:
    store.submit(REQUEST)
    lease = claimed(store)
    clock.now += 20
    longer = store.queue.heartbeat(lease)
    assert longer is not None
    assert longer.expires == lease.expires + 20
    clock.now += 20
    assert store.queue.expire() == []
    clock.now += 20
    assert [job.id for job in store.queue.expire()] == [lease.job.id]
    assert store.queue.heartbeat(longer) is None


def test_what_comes_of_an_old_epoch_is_ignored(store: Store, clock: Clock) -> None:
    job = store.submit(REQUEST)
    old = claimed(store)
    clock.now += 100
    store.queue.expire()
    new = claimed(store, "other")
    assert new.epoch == old.epoch + 1
    assert not store.journal.append(job.id, old.epoch, ["1"])
    assert not store.queue.release(old)
    assert not store.finish(old, "done", [DRAFT])
    assert store.outputs.of(job.id) == []
    assert store.finish(new, "done", [DRAFT])
    assert not store.finish(new, "failed", error="late")
    assert store.job(job.id).state == "done"


def test_a_job_is_begun_so_often_and_then_fails_with_a_reason(store: Store, clock: Clock) -> None:
    job = store.submit(REQUEST)
    for _ in range(store.queue.attempts):
        assert store.job(job.id).state == "queued"
        claimed(store)
        clock.now += 100
        store.queue.expire()
    found = store.job(job.id)
    assert (found.state, found.attempts) == ("failed", 3)
    assert found.error == "its worker w was lost; it was begun 3 times, and that is the limit"


def test_the_jobs_of_a_worker_that_is_gone_are_given_back_at_once(store: Store) -> None:
    first, second = store.submit(REQUEST).id, store.submit(REQUEST).id
    claimed(store, "a")
    claimed(store, "b")
    assert [job.id for job in store.queue.expire("a")] == [first]
    assert store.job(second).state == "running"


def test_a_released_job_has_spent_no_attempt(store: Store) -> None:
    job = store.submit(REQUEST)
    assert store.queue.release(claimed(store))
    assert (store.job(job.id).state, store.job(job.id).attempts) == ("queued", 0)


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_told(store: Store, clock: Clock) -> None:
    running, waiting = store.submit(REQUEST).id, store.submit(REQUEST).id
    lease = claimed(store)
    assert store.queue.cancel(waiting).state == "cancelled"
    assert store.queue.cancel(running).cancelling
    told = store.queue.heartbeat(lease)
    assert told is not None
    assert told.cancelling
    assert store.finish(told, "cancelled")
    assert store.queue.cancel(running).state == "cancelled"


def test_a_job_to_be_cancelled_whose_worker_is_lost_is_cancelled(store: Store, clock: Clock) -> None:
    for give_back in (lambda lease: store.queue.expire("w"), store.queue.release):
        job = store.submit(REQUEST)
        lease = claimed(store)
        store.queue.cancel(job.id)
        give_back(lease)
        assert store.job(job.id).state == "cancelled"


def test_a_retried_job_begins_anew_behind_the_others(store: Store) -> None:
    job = store.submit(REQUEST)
    assert store.finish(claimed(store), "failed", [DRAFT], "it was too dark")
    assert store.job(job.id).error == "it was too dark"
    (_, file) = store.outputs.find(store.outputs.of(job.id)[0].id)
    other = store.submit(REQUEST)
    again = store.retry(job.id)
    assert (again.state, again.attempts, again.error, again.ended) == ("queued", 0, "", None)
    assert order(store) == [other.id, job.id]
    assert store.outputs.of(job.id) == []
    assert not file.exists()


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda store, id: store.retry(id), "is done; only one that failed or was cancelled is retried"),
        (lambda store, id: store.queue.move(id, "front"), "is done; only a job that is queued has a place"),
        (lambda store, id: store.queue.prioritise(id, 1), "is done; it has no priority any more"),
    ],
)
def test_what_does_not_fit_the_state_of_a_job_is_refused(
    store: Store, ask: Callable[[Store, str], object], text: str
) -> None:
    job = ended(store)
    with pytest.raises(Conflict, match=text):
        ask(store, job.id)
    assert store.job(job.id) == job


def test_jobs_move_and_take_the_priority_of_their_place(store: Store) -> None:
    a, b, c, d = (store.submit(REQUEST, priority=n).id for n in (9, 0, 0, -9))
    store.queue.move(d, "front")
    assert order(store) == [d, a, b, c]
    assert store.job(d).priority == 9
    store.queue.move(a, "after", c)
    assert order(store) == [d, b, c, a]
    store.queue.move(c, "before", b)
    assert order(store) == [d, c, b, a]
    store.queue.move(d, "back")
    assert order(store) == [c, b, a, d]
    store.queue.move(c, "before", c)
    assert order(store) == [c, b, a, d]
    with pytest.raises(Conflict, match="which job"):
        store.queue.move(a, "before")


def test_there_is_always_room_between_two_jobs(store: Store) -> None:
    first, second, third = (store.submit(REQUEST).id for _ in range(3))
    for _ in range(30):  # 20 halvings use up the room between two positions
        store.queue.move(third, "before", second)
        store.queue.move(second, "before", third)
    assert order(store) == [first, second, third]


def test_a_pause_outlives_a_restart(store: Store) -> None:
    store.submit(REQUEST)
    store.queue.pause()
    assert store.queue.claim("w") is None
    with Store(store.folder) as again:
        assert again.queue.paused
        again.queue.pause(False)
    assert store.queue.claim("w") is not None


def test_a_lease_from_the_future_begins_now(store: Store, clock: Clock) -> None:
    store.submit(REQUEST)
    claimed(store)
    clock.now -= 500
    assert store.queue.expire() == []
    clock.now += store.queue.lease
    assert len(store.queue.expire()) == 1


def test_two_workers_never_claim_one_job(store: Store) -> None:
    ids = {store.submit(REQUEST).id for _ in range(40)}
    found: list[str] = []

    def work(worker: str) -> None:
        with Store(store.folder) as mine:
            while lease := mine.queue.claim(worker):
                found.append(lease.job.id)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(ids)


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


# The database


def test_what_is_written_is_durable_and_checked(store: Store) -> None:
    writer = Rows(store.database.writer)
    wanted = {"journal_mode": ("wal",), "synchronous": (2,), "foreign_keys": (1,), "busy_timeout": (10_000,)}
    assert {name: writer.one(f"PRAGMA {name}") for name in wanted} == wanted
    with pytest.raises(StoreError, match="readonly"), store.database.read() as rows:
        rows.run("DELETE FROM jobs")


def test_a_backup_is_taken_while_others_write_and_opens_as_a_store(store: Store, tmp_path: Path) -> None:
    job = store.submit(REQUEST)
    copy = tmp_path / "backup" / "jobs.sqlite"
    with store.database.write("pin") as rows:
        rows.run("UPDATE jobs SET priority = 9")
        store.backup(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["jobs.sqlite"]
    store.backup(copy)
    with Store(copy.parent) as other:
        assert other.job(job.id) == store.job(job.id)
        assert other.request(job.id) == REQUEST
    with pytest.raises(StoreError, match="no backup could be written"):
        store.backup(copy / "below a file")


def test_an_older_database_is_brought_to_the_newest_version(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.submit(REQUEST)
    store.close()

    def second(rows: Rows) -> None:
        rows.run("ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'")

    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, second))
    with Store(store.folder) as newer, newer.database.read() as rows:
        assert rows.one("SELECT id, colour FROM jobs") == (job.id, "green")
        assert newer.database.version == 2
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS)
    with pytest.raises(StoreError, match=r"written by a newer GraphEngine \(version 2 .* reads up to 1\)"):
        Store(store.folder)


def test_a_migration_that_fails_leaves_the_old_version(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()

    def second(rows: Rows) -> None:
        rows.run("DROP TABLE events")
        rows.run("nonsense")

    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, second))
    with pytest.raises(StoreError, match="syntax error"):
        Store(store.folder)
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS)
    with Store(store.folder) as again:
        again.submit(REQUEST)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"these are no tables, and this is long enough to tell" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        Store(tmp_path)
    assert path.read_bytes() == before
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="a database of another program"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "outputs").write_text("a file")
    with pytest.raises(StoreError, match=r"the folder of outputs .* cannot be made"):
        Store(tmp_path / "other")


def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "new") as store:
        assert store.folder.stat().st_mode & 0o077 == 0


def test_several_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def opened() -> None:
        try:
            with Store(tmp_path) as store:
                store.submit(REQUEST)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Store(tmp_path) as store:
        assert store.counts()["queued"] == 6


def test_who_waits_too_long_for_another_process_is_told(tmp_path: Path) -> None:
    with (
        closing(Database(tmp_path / "a", wait=0.05)) as first,
        closing(Database(tmp_path / "a", wait=0.05)) as two,
    ):
        with first.write("pin"), pytest.raises(StoreError, match="locked"), two.write("pin"):
            pass
        with two.write("pin") as rows:
            assert rows.one("SELECT count(*) FROM jobs") == (0,)


def test_each_statement_of_the_first_version_ends_where_it_seems_to() -> None:
    assert all(sqlite3.complete_statement(part + ";") for part in FIRST.split(";"))


def test_importing_the_store_is_light() -> None:
    heavy = {"torch", "numpy", "pydantic", "aiohttp"}
    code = f"import sys, graphengine.store; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
