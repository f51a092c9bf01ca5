"""A fleet whose workers are made up: what they do takes time of the loop's clock and nothing else.

They know the faulty nodes (`faulty.wait`, `fail`, `write`, ...), have models that take time to load, and fail
as often as `Faults` says, by a seed.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphengine.channel import Message
from graphengine.fleets.crew import Crew, Seat
from graphengine.order import Order

GIB = 1 << 30


@dataclass
class Faults:
    """How likely it is that a worker dies while it runs a job, stands still, or does not start."""

    seed: int = 0
    die: float = 0.0
    freeze: float = 0.0
    no_start: float = 0.0
    drawn: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.drawn = random.Random(self.seed)

    def happens(self, chance: float) -> bool:
        """Whether something of this likelihood happens now."""
        return self.drawn.random() < chance


@dataclass
class Model:
    """A made-up model: seconds to load, bytes."""

    seconds: float
    size: int


class SimulatedFleet(Crew):
    """So many made-up workers. `beat` is the number of seconds between two signs of life."""

    def __init__(
        self,
        workers: int = 1,
        *,
        faults: Faults | None = None,
        models: dict[str, Model] | None = None,
        memory: int = 24 * GIB,
        start: float = 1.0,
        beat: float = 1.0,
        **given: Any,
    ) -> None:
        super().__init__(["cpu"] * workers, **given)
        self.faults, self.models = faults or Faults(), models or {}
        self.memory, self.warm, self.pulse = memory, start, beat
        self.loads: list[float] = []
        """When models were loaded."""

    async def open(self, seat: Seat) -> Made:
        if self.faults.happens(self.faults.no_start):
            raise OSError("there is no room for another process")
        return Made(self, seat.starts)


class Made:
    """The way to a made-up worker, and the worker."""

    def __init__(self, fleet: SimulatedFleet, life: int) -> None:
        self.fleet, self.life = fleet, life
        self.outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.why = "it was ended by SIGKILL"
        self.loaded: list[str] = []
        self.cancelled: dict[tuple[str, int], asyncio.Event] = {}
        self.run: asyncio.Task[None] | None = None
        self.alive = asyncio.create_task(self.living())
        self.leaving: asyncio.Task[None] | None = None

    async def living(self) -> None:
        await asyncio.sleep(self.fleet.warm)
        self.say({"kind": "ready", "device": "cpu", "pid": 0, **self.room()})
        while True:
            await asyncio.sleep(self.fleet.pulse)
            self.say({"kind": "beat", **self.room()})

    def room(self) -> dict[str, Any]:
        used = sum(self.fleet.models[name].size for name in self.loaded)
        return {"memory": used, "free": self.fleet.memory - used, "models": self.loaded}

    def say(self, head: dict[str, Any], body: bytes = b"") -> None:
        self.outbox.put_nowait(Message(head, body).packed())

    async def receive(self) -> Message | None:
        data = await self.outbox.get()
        return None if data is None else Message.of(data)

    def send(self, message: Message) -> None:
        head = message.head
        match message.kind:
            case "run":
                self.run = asyncio.create_task(self.working(Order.of(head)))
            case "cancel":
                self.cancelled.setdefault((head["job"], head["epoch"]), asyncio.Event()).set()
            case "call":
                self.answer(head)
            case "stop":
                self.leaving = asyncio.create_task(self.stopping())

    def answer(self, head: dict[str, Any]) -> None:
        said = {"kind": "answer", "call": head["call"]}
        if head["what"] == "plan":
            nodes = list(json.loads(head["arguments"]["workflow"])["nodes"])
            self.say(said | {"value": {"steps": nodes, "cached": [], "skipped": []}})
        else:
            self.say(said | {"error": "NotFound", "text": "there is nothing of the kind"})

    async def stopping(self) -> None:
        if self.run is not None:
            await asyncio.wait({self.run})
        self.alive.cancel()
        self.outbox.put_nowait(None)

    def kill(self) -> None:
        self.alive.cancel()
        if self.run is not None:
            self.run.cancel()
        self.outbox.put_nowait(None)

    async def close(self) -> str:
        self.kill()
        return self.why

    async def working(self, order: Order) -> None:
        about = {"job": order.job, "epoch": order.epoch}
        flow = json.loads(order.workflow)

        texts: list[str] = []

        def told(**event: Any) -> None:
            texts.append(json.dumps(event))

        def tell() -> None:
            if texts:
                self.say({"kind": "events", **about, "texts": list(texts)})
                texts.clear()

        if unknown := [id for id, node in flow["nodes"].items() if not node["type"].startswith("faulty.")]:
            error = f"{unknown[0]}: there is no such node type"
            self.say({"kind": "ended", **about, "state": "failed", "error": error})
            return
        told(event="run_planned", steps=list(flow["nodes"]))
        state, error, files, result = "done", "", list[dict[str, str]](), dict[str, Any]()
        faults = self.fleet.faults
        for id, node in flow["nodes"].items():
            given, kind = node["inputs"], node["type"].removeprefix("faulty.")
            for name in filter(None, [given.get("model")]):
                await self.load(name)
            told(event="node_started", node=id)
            tell()
            if kind == "fail":
                state, error = "failed", f"{id}: ValueError: {given.get('text', 'no')}"
                self.say({"kind": "log", "job": order.job, "node": id, "text": "Traceback: ValueError"})
                continue
            if kind == "deaf":
                await asyncio.sleep(60)
            if faults.happens(faults.die):
                await asyncio.sleep(faults.drawn.random() * given.get("seconds", 0.0))
                self.kill()
                return
            if kind == "frozen" or faults.happens(faults.freeze):
                self.alive.cancel()
                await asyncio.sleep(1e9)
            if not await self.wait(given.get("seconds", 0.0), about):
                state = "cancelled"
                break
            if kind == "show":
                size = {"width": 8, "height": 8, "media": "image/jpeg"}
                self.say({"kind": "preview", **about, "node": id, **size}, b"\xff\xd8 a picture")
            if kind in ("write", "large"):
                files.append(self.write(Path(order.staging), kind, given))
            if "value" in given:
                result["value"] = given["value"]
            told(event="node_finished", node=id)
        told(event="run_ended", state=state)
        tell()
        self.cancelled.pop((order.job, order.epoch), None)
        ended = {"state": state, "error": error, "files": files, "result": result, "trace": ""}
        self.say({"kind": "ended", **about, **ended, **self.room()})

    async def wait(self, seconds: float, about: dict[str, Any]) -> bool:
        """Take a while; False if the job is cancelled meanwhile."""
        cancelled = self.cancelled.setdefault((about["job"], about["epoch"]), asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await cancelled.wait()
        except TimeoutError:
            return True
        return False

    def write(self, staging: Path, kind: str, given: dict[str, Any]) -> dict[str, str]:
        staging.mkdir(parents=True, exist_ok=True)
        path = staging / ("result_0001.txt" if kind == "write" else "large_0001.bin")
        text = given.get("text", "a result").encode()
        path.write_bytes(text if kind == "write" else bytes(range(256)) * (given["mebibytes"] << 12))
        media = "text/plain" if kind == "write" else "application/octet-stream"
        return {"path": str(path), "name": path.name, "media": media}

    async def load(self, name: str) -> None:
        """Have a model, the one used last at the end; others go where there is no room."""
        if name in self.loaded:
            self.loaded.remove(name)
        else:
            model = self.fleet.models[name]
            while self.loaded and model.size > self.room()["free"]:
                self.loaded.pop(0)
            await asyncio.sleep(model.seconds)
            self.fleet.loads.append(asyncio.get_running_loop().time())
        self.loaded.append(name)
