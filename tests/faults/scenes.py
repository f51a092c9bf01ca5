"""A store with a job in every state, what can be asked of it, and what must hold of it after anything.

As a program it does each of these in a process of its own that is killed at a named point, or at random.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from graphengine.store import faults
from graphengine.store.jobs import ENDS, Draft, Lease, Request
from graphengine.store.store import Store

REQUEST = Request('{"format": 1}', {"n": 1}, ("image",))
WHOLE = b"a whole picture " * 4000
DRAFTS = [Draft("a.png", "image/png", WHOLE), Draft("b.png", "image/png", WHOLE)]
ORPHAN = "0" * 32
READY = 0xFFFFFFFF
"""What a process tells before the numbers of the jobs that were accepted."""
FORKS = {"finish.unlink": "finish.job"}
"""Points that are only reached when an error has come at another one."""
AFTER = ("retry.unlink", "remove.unlink", "prune.unlink")
"""Points after the commit at which an error is swallowed."""
LEGAL = {
    "queued": {"running", "cancelled"},
    "running": {"queued", "cancelling", *ENDS},
    "cancelling": {"queued", *ENDS},
    "done": {"removed"},
    "failed": {"queued", "removed"},
    "cancelled": {"queued", "removed"},
}
"""Which state may follow which."""


class Clock:
    """The only fake: time that a test sets."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Scene:
    """The jobs of a store: one done, one failed, one that runs, two that wait; and a file of nobody."""

    def __init__(self, store: Store) -> None:
        def running() -> Lease:
            store.submit(REQUEST)
            lease = store.queue.claim("w")
            assert lease is not None
            return lease

        done, failed = running(), running()
        assert store.finish(done, "done", DRAFTS)
        assert store.finish(failed, "failed", DRAFTS, "it was too dark")
        self.done, self.failed, self.lease = done.job.id, failed.job.id, running()
        self.first, self.second = store.submit(REQUEST).id, store.submit(REQUEST).id
        (store.outputs.folder / ORPHAN).write_bytes(b"what a crash left")


ACTS: dict[str, Callable[[Store, Scene], Any]] = {
    "migrate": lambda store, scene: Store(store.folder / "new").close(),
    "submit": lambda store, scene: store.submit(REQUEST, client="c", key="k"),
    "claim": lambda store, scene: store.queue.claim("other"),
    "heartbeat": lambda store, scene: store.queue.heartbeat(scene.lease),
    "release": lambda store, scene: store.queue.release(scene.lease),
    "expire": lambda store, scene: store.queue.expire("w"),
    "cancel": lambda store, scene: store.queue.cancel(scene.first),
    "retry": lambda store, scene: store.retry(scene.failed),
    "move": lambda store, scene: store.queue.move(scene.second, "front"),
    "priority": lambda store, scene: store.queue.prioritise(scene.first, 7),
    "pause": lambda store, scene: store.queue.pause(),
    "append": lambda store, scene: store.journal.append(scene.lease.job.id, scene.lease.epoch, ["1", "2"]),
    "trim": lambda store, scene: store.journal.trim(keep=3),
    "finish": lambda store, scene: store.finish(scene.lease, "done", DRAFTS),
    "pin": lambda store, scene: store.pin(scene.done),
    "prune": lambda store, scene: store.outputs.prune(limit=0),
    "sweep": lambda store, scene: store.sweep(),
    "remove": lambda store, scene: store.remove(scene.done),
    "backup": lambda store, scene: store.backup(store.folder / "copy.sqlite"),
}
"""What can be asked, by the name that its points begin with."""


def happened(store: Store, scene: Any, name: str) -> bool:
    """Whether an act has had its effect, as somebody sees it who opens the store."""
    state = {job.id: job for job in store.jobs().jobs}
    match name:
        case "submit":
            return len(state) == 6
        case "claim":
            return state[scene.first].state == "running"
        case "heartbeat":
            sql = "SELECT expires FROM jobs WHERE id = ?"
            with store.database.read() as rows:
                return rows.one(sql, scene.lease.job.id) != (scene.lease.expires,)
        case "release" | "expire":
            return state[scene.lease.job.id].state == "queued"
        case "cancel":
            return state[scene.first].state == "cancelled"
        case "retry":
            return state[scene.failed].state == "queued" and store.outputs.of(scene.failed) == []
        case "move":
            return [job.id for job in store.waiting()] == [scene.second, scene.first]
        case "priority":
            return state[scene.first].priority == 7
        case "pause":
            return store.queue.paused
        case "append":
            return {"1", "2"} <= {entry.text for entry in store.journal.read().entries}
        case "trim":
            return len(store.journal.read().entries) == 3
        case "finish":
            return (
                state[scene.lease.job.id].state == "done" and len(store.outputs.of(scene.lease.job.id)) == 2
            )
        case "pin":
            return state[scene.done].pinned
        case "prune":
            return store.outputs.size() == 0
        case "remove":
            return scene.done not in state
    raise AssertionError(name)


def check(store: Store, swept: bool = False) -> None:
    """What holds at any moment: the database is sound, numbers have no gaps, published files are whole.

    Once swept, the folder holds the published files and no others.
    """
    with store.database.read() as rows:
        assert rows.all("PRAGMA integrity_check") == [("ok",)]
        assert rows.all("PRAGMA foreign_key_check") == []
        named = {row[0]: row[1] for row in rows.all("SELECT id, size FROM outputs")}
        for id, state in rows.all("SELECT id, state FROM jobs"):
            found = rows.one("SELECT count(*) FROM outputs WHERE job = ?", id)
            assert state in ENDS or found == (0,), "a job that has not ended has published something"
    entries = store.journal.read(limit=100_000).entries
    numbers = [entry.sequence for entry in entries]
    assert numbers == [number + n for n, number in enumerate(numbers[:1] * len(numbers))]
    states: dict[str, str] = {}
    for entry in entries:
        if entry.text.startswith('{"event": "job"'):
            state = json.loads(entry.text)["state"]
            assert entry.job not in states or state in LEGAL[states[entry.job]], (states[entry.job], state)
            states[entry.job] = state
    for id, size in named.items():
        assert (store.outputs.folder / id).stat().st_size == size
        assert (store.outputs.folder / id).read_bytes().startswith(WHOLE[:16])
    if swept:
        assert {path.name for path in store.outputs.folder.iterdir()} == named.keys()


def settle(store: Store, clock: Clock) -> None:
    """Go on as a server does after a crash until every job has ended; each ends, and the folder is clean."""
    check(store)
    before = {job.id for job in store.jobs().jobs}
    store.queue.pause(False)
    store.queue.expire()
    clock.now += store.queue.lease + 1
    store.queue.expire()
    while lease := store.queue.claim("last"):
        assert store.finish(lease, "done", DRAFTS)
        assert not store.finish(lease, "failed", error="again")
    store.sweep()
    check(store, swept=True)
    after = store.jobs().jobs
    assert {job.id for job in after} == before
    assert all(job.state in ENDS for job in after)


def replaced(act: Callable[[str], None]) -> Callable[[str], None]:
    """Put a function in the place of `fault`; gives the one before."""
    before = faults.fault
    faults.fault = act  # type: ignore[assignment]
    return before


def die() -> NoReturn:
    """As by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def killed_at(folder: Path, point: str) -> None:
    """Make a scene, tell of it in a file, and die at a point of what is asked then."""
    store = Store(folder, clock=Clock())
    scene = Scene(store)
    told = vars(scene) | {"lease": [scene.lease.job.id, scene.lease.epoch, scene.lease.expires]}
    (folder / "scene.json").write_text(json.dumps(told))

    def fault(name: str) -> None:
        if name == point:
            die()
        if name == FORKS.get(point):
            raise OSError("the disk fails")

    replaced(fault)
    ACTS[point.partition(".")[0]](store, scene)


def work(folder: Path, numbers: list[int], out: int) -> None:
    """Submit jobs and tell which are accepted; then do what waits. A killed one's successor goes on."""
    with Store(folder, attempts=1_000_000) as store:
        waiting = list(numbers)
        os.write(out, READY.to_bytes(4))
        while True:
            for number in waiting[:3]:
                store.submit(Request(str(number)), key=str(number))
                os.write(out, number.to_bytes(4))
            del waiting[:3]
            lease = store.queue.claim("w")
            if lease is None and not waiting:
                return
            if lease is not None:
                assert store.queue.heartbeat(lease)
                assert store.journal.append(lease.job.id, lease.epoch, ["1"])
                assert store.finish(lease, "done", [Draft("a", "text/plain", WHOLE[:160])])


def forked(act: Callable[[], None]) -> int:
    """Start a function in a process of its own."""
    if number := os.fork():
        return number
    try:
        act()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def killed_at_random(folder: Path, jobs: int, kills: int, seconds: float, seed: int = 7) -> dict[str, float]:
    """Kill a process `kills` times, after up to `seconds` each, that submits and does this many jobs.

    Gives how many were killed at work, were lost, were done twice, and how long it took. No connection to
    the database is open while a process is forked.
    """
    drawn, accepted, killed, began = random.Random(seed), set[int](), 0, time.monotonic()
    while True:
        Store(folder).close()
        source, out = os.pipe()
        numbers = [n for n in range(jobs) if n not in accepted]
        process = forked(lambda numbers=numbers, out=out: work(folder, numbers, out))  # type: ignore[misc]
        os.close(out)
        if killed < kills:
            if drawn.random() < 0.7:  # the others are killed while they open the store, most likely
                select.select([source], [], [])
            time.sleep(drawn.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
        told = b""
        while part := os.read(source, 1 << 16):
            told += part
        os.close(source)
        accepted |= {int.from_bytes(told[n : n + 4]) for n in range(0, len(told) - 3, 4)} - {READY}
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert status in (0, -signal.SIGKILL), status
        killed += status != 0
        with Store(folder, attempts=1_000_000) as store:
            check(store)
            store.queue.expire("w")
            if status == 0 and len(accepted) == jobs:
                store.sweep()
                check(store, swept=True)
                with store.database.read() as rows:
                    done = rows.all("SELECT workflow FROM jobs WHERE state = 'done'")
                    outputs = rows.all("SELECT job FROM outputs")
                lost = {str(number) for number in accepted} - {row[0] for row in done}
                return {
                    **{"kills": killed, "jobs": len(done), "lost": len(lost)},
                    **{"doubled": len(done) - len(set(done)) + len(outputs) - len(set(outputs))},
                    "seconds": time.monotonic() - began,
                }


def main() -> None:
    """`points FOLDER POINT...` prints how each process ended, `random FOLDER JOBS KILLS SECONDS` a count."""
    what, folder, *rest = sys.argv[1:]
    if what == "random":
        print(json.dumps(killed_at_random(Path(folder), int(rest[0]), int(rest[1]), float(rest[2]))))
        return
    ends = {}
    for point in rest:
        number = forked(lambda point=point: killed_at(Path(folder) / point, point))  # type: ignore[misc]
        ends[point] = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
