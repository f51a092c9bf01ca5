"""Law 8: a job that was accepted is on disk; it ends once: done, failed with a reason, or cancelled."""

from __future__ import annotations

from collections.abc import Callable

from faults.scenes import DRAFTS, check, replaced, settle
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from laws.running import many
from queueing import DRAFT, LEASE, Queueing

from graphengine.store.faults import POINTS
from graphengine.store.jobs import ENDS, Request
from graphengine.store.store import Store

UNREACHED = ("finish.unlink",)
"""Only where the disk fails too."""


class Killed(BaseException):
    """The process is gone."""


def points(act: str) -> st.SearchStrategy[str]:
    """The points of something that is asked of the store."""
    return st.sampled_from([p for p in POINTS if p.startswith(f"{act}.") and p not in UNREACHED])


class Crashing(Queueing):
    """The queue and its model, with processes that are gone between two steps of the store."""

    # What does not matter to how a job ends, so that the rest comes more often.
    submit_with_a_key = append = move = prioritise = pause = restart = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Store] = []

    @initialize()
    def two_jobs(self) -> None:
        self.submit(0)
        self.submit(0)

    @rule()
    def lose_a_worker(self) -> None:
        """It claims a job, and is not heard of in time."""
        self.claim()
        self.expire(LEASE + 1)

    @rule(state=st.sampled_from(ENDS))
    def a_lost_worker_comes_back(self, state: str) -> None:
        """Another one may have its job meanwhile: what it says counts for nothing."""
        known = len(self.leases)
        self.lose_a_worker()
        lost = self.leases[known:]  # none, where no job waited
        self.claim()
        for lease in lost:
            assert self.store.queue.heartbeat(lease) is None
            assert not self.store.finish(lease, state, [DRAFT], "it broke")  # type: ignore[arg-type]

    @rule()
    def crash(self) -> None:
        """The next process opens the store that the last one has not closed."""
        self.gone.append(self.store)
        self.open()
        self.store.sweep()

    def killed(self, point: str, act: Callable[[], object]) -> bool:
        """Ask for something, and crash at a point of it if it comes by there; whether it has happened."""

        def fault(name: str) -> None:
            if name == point:
                raise Killed

        before = replaced(fault)
        try:
            act()
        except Killed:
            return point.endswith(".committed")
        finally:
            replaced(before)
            self.crash()
        return True

    @rule(point=points("submit"))
    def crash_while_submitting(self, point: str) -> None:
        """Nobody was told that the job is accepted, but it may be."""
        if self.killed(point, lambda: self.store.submit(Request("{}"))):
            self.accept(self.store.jobs(limit=1).jobs[0].id, 0)

    @rule(point=points("claim"))
    def crash_while_claiming(self, point: str) -> None:
        """The lease is there, and no worker has it."""
        id = next(iter(self.waiting()), None)
        if self.killed(point, lambda: self.store.queue.claim("w")) and id:
            self.begin(id)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), point=points("finish"), state=st.sampled_from(ENDS), outputs=st.integers(1, 2))
    def crash_while_finishing(self, data: st.DataObject, point: str, state: str, outputs: int) -> None:
        """In time or late."""
        lease = data.draw(st.sampled_from(self.leases))
        job, drafts = self.current(lease), [DRAFT] * outputs
        if self.killed(point, lambda: self.store.finish(lease, state, drafts, "it broke")) and job:  # type: ignore[arg-type]
            job.outputs = outputs
            self.end(lease.job.id, state)

    def teardown(self) -> None:
        """A last server goes on until every job has ended."""
        try:
            ended = {id for id, job in self.known.items() if job.state in ENDS}
            settle(self.store, self.clock)
            for id, job in self.known.items():
                found = self.store.job(id)
                assert found.state in ENDS
                assert (found.state == "failed") == bool(found.error)
                last = len(DRAFTS) if found.state == "done" else 0
                assert len(self.store.outputs.of(id)) == (job.outputs if id in ended else last)
                assert id not in ended or found.state == job.state
            check(self.store, swept=True)
        finally:
            for store in self.gone:
                store.close()
            super().teardown()


TestAJobThatWasAcceptedEndsExactlyOnce = Crashing.TestCase
TestAJobThatWasAcceptedEndsExactlyOnce.settings = settings(many(0.5), stateful_step_count=40)
