"""The queue of a store beside a plain model of it: a machine that asks both for the same, in any order."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from faults.scenes import WHOLE, Clock
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from graphengine.errors import Conflict
from graphengine.store.jobs import ENDS, STATES, Draft, Lease, Request
from graphengine.store.journal import Words
from graphengine.store.store import Store

ATTEMPTS, LEASE = 2, 30.0
DRAFT = Draft("a", "text/plain", WHOLE[:16])


@dataclass
class Known:
    """What the model knows of a job."""

    priority: int
    state: str = "queued"
    attempts: int = 0
    epoch: int = 0
    cancelling: bool = False
    beat: float = 0.0
    expires: float = 0.0
    outputs: int = 0


class Queueing(RuleBasedStateMachine):
    """`line` holds the jobs that wait or run, in the order of their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock, self.paused, self.events = Clock(1000.0), False, 0
        self.known: dict[str, Known] = {}
        self.keys: dict[str, tuple[str, int]] = {}
        self.line: list[str] = []
        self.leases: list[Lease] = []
        self.open()

    def open(self) -> None:
        self.store = Store(Path(self.folder.name), clock=self.clock, attempts=ATTEMPTS, lease=LEASE)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def waiting(self) -> list[str]:
        queued = [id for id in self.line if self.known[id].state == "queued"]
        return sorted(queued, key=lambda id: -self.known[id].priority)

    def pick(self, data: st.DataObject, ids: list[str]) -> str:
        return data.draw(st.sampled_from(ids))

    def accept(self, id: str, priority: int) -> None:
        self.known[id] = Known(priority)
        self.line.append(id)
        self.events += 1

    def begin(self, id: str) -> Known:
        job = self.known[id]
        job.state, job.attempts, job.epoch = "running", job.attempts + 1, job.epoch + 1
        job.beat, job.expires = self.clock.now, self.clock.now + LEASE
        self.events += 1
        return job

    def end(self, id: str, state: str) -> None:
        self.known[id].state, self.known[id].cancelling = state, False
        self.line.remove(id)
        self.events += 1

    def current(self, lease: Lease) -> Known | None:
        """What is known of a job, if this lease of it counts."""
        job = self.known[lease.job.id]
        return job if job.state == "running" and job.epoch == lease.epoch else None

    def give_back(self, id: str, lost: bool) -> None:
        job = self.known[id]
        if job.cancelling:
            self.end(id, "cancelled")
        elif lost and job.attempts >= ATTEMPTS:
            self.end(id, "failed")
        else:
            job.state = "queued"
            self.events += 1

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        self.accept(self.store.submit(Request("{}"), priority=priority).id, priority)

    @rule(key=st.sampled_from("ab"), priority=st.integers(0, 1))
    def submit_with_a_key(self, key: str, priority: int) -> None:
        known = self.keys.get(key)
        try:
            id = self.store.submit(Request("{}"), priority=priority, key=key).id
        except Conflict:
            assert known is not None
            assert known[1] != priority
            return
        if known:
            assert known == (id, priority)
        else:
            self.keys[key] = id, priority
            self.accept(id, priority)

    @rule()
    def claim(self) -> None:
        lease = self.store.queue.claim("w")
        wanted = None if self.paused else next(iter(self.waiting()), None)
        assert (lease and lease.job.id) == wanted
        if lease is not None:
            assert lease.epoch == self.begin(lease.job.id).epoch
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        leases = data.draw(st.lists(st.sampled_from(self.leases), max_size=3))
        for lease, found in zip(leases, self.store.queue.heartbeats(leases), strict=True):
            job = self.current(lease)
            assert (found is None) == (job is None)
            if found and job:
                assert found.cancelling == job.cancelling
                job.beat, job.expires = self.clock.now, self.clock.now + LEASE
                assert found.expires == job.expires

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), state=st.sampled_from(ENDS), outputs=st.integers(0, 2), events=st.integers(0, 2))
    def finish(self, data: st.DataObject, state: str, outputs: int, events: int) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        job = self.current(lease)
        drafts, words = [DRAFT] * outputs, ["1"] * events
        ended = self.store.finish(lease, state, drafts, "it broke", events=words)  # type: ignore[arg-type]
        assert ended == (job is not None)
        if job:
            job.outputs = outputs
            self.events += events
            self.end(lease.job.id, state)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        leases = data.draw(st.lists(st.sampled_from(self.leases), max_size=3))
        taken = self.store.journal.extend([Words(each.job.id, each.epoch, ["1", "2"]) for each in leases])
        assert taken == [self.current(lease) is not None for lease in leases]
        self.events += 2 * sum(taken)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        job = self.current(lease)
        assert self.store.queue.release(lease) == (job is not None)
        if job:
            job.attempts -= 1
            self.give_back(lease.job.id, lost=False)

    @rule(seconds=st.sampled_from([0.0, 10.0, 31.0, -20.0, -1e6, 1e6]))
    def expire(self, seconds: float) -> None:
        self.clock.now += seconds
        late = []
        for id, job in self.known.items():
            if job.state == "running" and job.beat > self.clock.now:
                job.beat, job.expires = self.clock.now, self.clock.now + LEASE
            elif job.state == "running" and job.expires <= self.clock.now:
                late.append(id)
        assert [job.id for job in self.store.queue.expire()] == late
        for id in late:
            self.give_back(id, lost=True)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = self.pick(data, list(self.known))
        self.store.queue.cancel(id)
        job = self.known[id]
        if job.state == "queued":
            self.end(id, "cancelled")
        elif job.state == "running" and not job.cancelling:
            job.cancelling = True
            self.events += 1

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        id = self.pick(data, list(self.known))
        job = self.known[id]
        try:
            self.store.retry(id)
        except Conflict:
            assert job.state not in ("failed", "cancelled")
            return
        assert job.state in ("failed", "cancelled")
        job.state, job.attempts, job.outputs = "queued", 0, 0
        self.line.append(id)
        self.events += 1

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), place=st.sampled_from(["front", "back", "before", "after"]))
    def move(self, data: st.DataObject, place: str) -> None:
        waiting = self.waiting()
        id, other = self.pick(data, waiting), self.pick(data, waiting)
        self.store.queue.move(id, place, other)  # type: ignore[arg-type]
        if place in ("before", "after"):
            if id != other:
                self.line.remove(id)
                self.line.insert(self.line.index(other) + (place == "after"), id)
                self.known[id].priority = self.known[other].priority
        else:
            self.line.remove(id)
            self.line.insert(0 if place == "front" else len(self.line), id)
            edge = waiting[0 if place == "front" else -1]
            self.known[id].priority = self.known[edge].priority
            assert self.waiting()[0 if place == "front" else -1] == id

    @precondition(lambda self: self.line)
    @rule(data=st.data(), priority=st.integers(-2, 2))
    def prioritise(self, data: st.DataObject, priority: int) -> None:
        id = self.pick(data, self.line)
        self.store.queue.prioritise(id, priority)
        self.known[id].priority = priority

    @rule(on=st.booleans())
    def pause(self, on: bool) -> None:
        self.store.queue.pause(on)
        self.paused = on

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()
        assert self.store.sweep() == 0

    @invariant()
    def both_say_the_same(self) -> None:
        assert [job.id for job in self.store.waiting()] == self.waiting()
        assert self.store.queue.paused == self.paused
        found = {job.id: job for job in self.store.jobs(limit=500).jobs}
        assert list(found) == list(self.known)[::-1]
        for id, job in self.known.items():
            told = found[id]
            wanted = (job.state, job.priority, job.attempts, job.cancelling)
            assert (told.state, told.priority, told.attempts, told.cancelling) == wanted
        numbers = [entry.sequence for entry in self.store.journal.read().entries]
        assert numbers == list(range(1, self.events + 1))
        states = Counter(job.state for job in self.known.values())
        assert self.store.counts() == {state: states[state] for state in STATES}
        published = sum(job.outputs for job in self.known.values())
        assert self.store.outputs.size() == published * len(DRAFT.content)
