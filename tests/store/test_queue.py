"""Jobs are claimed in order, each by one worker, and end once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from faults.scenes import Clock
from storing import DRAFT, REQUEST, claimed, ended

from graphengine.errors import Conflict
from graphengine.store.store import Store


def order(store: Store) -> list[str]:
    return [job.id for job in store.waiting()]


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


def test_the_heartbeats_of_many_are_one_transaction(store: Store, clock: Clock) -> None:
    jobs = [store.submit(REQUEST) for _ in range(3)]
    leases = [claimed(store) for _ in jobs]
    store.queue.release(leases[1])
    store.queue.cancel(jobs[2].id)
    clock.now += 20
    written: list[str] = []
    store.database.writer.set_trace_callback(written.append)
    first, second, third = store.queue.heartbeats(leases)
    assert sum(statement.startswith("BEGIN") for statement in written) == 1
    assert first is not None
    assert third is not None
    assert (first.expires, first.cancelling) == (1020.0 + store.queue.lease, False)
    assert second is None
    assert third.cancelling
    clock.now += 20
    assert store.queue.expire() == []
    assert store.queue.heartbeats([]) == []


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
