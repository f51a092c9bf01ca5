from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from graphengine.authoring import Folders
from graphengine.errors import GraphEngineError, OutOfMemory
from graphengine.pool import Device, ModelPool, machine_memory, size_of

loaded: list[str] = []
now = 0.0


@dataclass(frozen=True)
class Weights:
    """`size` float32 numbers, which take `seconds` to load."""

    name: str
    size: int = 250
    failures: int = 0
    seconds: float = 1.0

    def load(self, folders: Folders, device: str) -> torch.nn.Module:
        loaded.append(f"{self.name} on {device}")
        if loaded.count(f"{self.name} on {device}") <= self.failures:
            raise torch.OutOfMemoryError("too large")
        take(self.seconds)
        return torch.nn.Linear(self.size, 1, bias=False)


@dataclass(frozen=True)
class Pair:
    """Several models as one."""

    members: tuple[Any, ...]

    def load(self, folders: Folders, device: str) -> Any:
        return self.compose([member.load(folders, device) for member in self.members])

    def compose(self, models: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(models)


@dataclass(frozen=True)
class Patched:
    """A body as it is, with a head of its own of 250 numbers."""

    base: Any
    strength: float

    def load(self, folders: Folders, device: str) -> Any:
        return self.derive(self.base.load(folders, device), folders, device)

    def derive(self, model: Any, folders: Folders, device: str) -> torch.nn.Module:
        loaded.append(f"{self.strength} of {self.base.name}")
        take(0.1)
        head = torch.nn.Linear(250, 1, bias=False)
        torch.nn.init.constant_(head.weight, self.strength)
        return torch.nn.Sequential(model, head)


def take(seconds: float) -> None:
    """Let time pass."""
    global now
    now += seconds


@pytest.fixture(autouse=True)
def none_loaded() -> None:
    loaded.clear()


def pool(budget: int = 3000) -> ModelPool:
    return ModelPool("cpu", Folders(), budget, clock=lambda: now)


def names(models: ModelPool) -> list[str]:
    return [handle.name for handle in models.residents]  # type: ignore[attr-defined]


def test_a_model_is_loaded_once_for_equal_handles() -> None:
    models = pool()
    assert models.use(Weights("a")) is models.use(Weights("a"))
    assert loaded == ["a on cpu"]
    assert models.used == 1000


def test_among_equals_the_one_not_used_for_the_longest_time_makes_room() -> None:
    models = pool()
    for name in "abc":
        models.use(Weights(name))
    models.use(Weights("a"))
    models.use(Weights("d"))
    assert models.used == 3000
    assert names(models) == ["c", "a", "d"]
    models.use(Weights("b"))
    assert loaded == ["a on cpu", "b on cpu", "c on cpu", "d on cpu", "b on cpu"]


def test_what_is_dear_to_load_again_for_its_bytes_stays_longer() -> None:
    models = pool()
    models.use(Weights("slow", seconds=5.0))
    for name in "abcd":
        models.use(Weights(name))
    # A load halves what each is worth, so five times as dear is as good as two loads later, and not three:
    # now it is worth 5 / 16, more than the 1 / 4 of b, which went; next 5 / 32, less than the 1 / 4 of c.
    assert names(models) == ["slow", "c", "d"]
    models.use(Weights("e"))
    assert names(models) == ["c", "d", "e"]
    models = pool()
    models.use(Weights("small", size=25))
    for name in "abc":
        models.use(Weights(name, size=300))
    assert names(models) == ["small", "b", "c"]


def test_what_is_in_steady_use_stays_before_what_was_used_once() -> None:
    models = pool()
    for name in ("steady", "a", "steady", "b", "steady", "once"):
        models.use(Weights(name))
    # `once` was loaded after `steady` was used for the last time, and is worth as much as it: 2 / 2 and 1.
    assert names(models) == ["b", "steady", "once"]
    models.use(Weights("new"))
    assert names(models) == ["steady", "once", "new"]


def test_many_uses_in_a_row_count_as_one() -> None:
    """A loop asks for its model at each step; that must not keep it for ever once it is not used any more."""
    models = pool()
    for _ in range(1000):
        models.use(Weights("loop"))
    for name in "abc":
        models.use(Weights(name))
    assert names(models) == ["a", "b", "c"]


def test_a_model_larger_than_the_budget_is_used_alone() -> None:
    models = pool()
    models.use(Weights("small"))
    assert models.use(Weights("large", 5000)) is not None
    assert names(models) == ["large"]


def test_when_the_memory_is_full_everything_else_goes_and_it_is_tried_once_more() -> None:
    models = pool()
    models.use(Weights("a"))
    models.use(Weights("b", failures=1))
    assert loaded == ["a on cpu", "b on cpu", "b on cpu"]
    assert names(models) == ["b"]


def test_what_does_not_fit_alone_is_told() -> None:
    models = pool()
    with pytest.raises(OutOfMemory, match="does not fit into the memory of cpu; use a smaller model"):
        models.use(Weights("a", failures=2))
    assert models.used == 0
    models.use(Weights("b"))


def test_a_model_that_cannot_be_loaded_leaves_the_others() -> None:
    @dataclass(frozen=True)
    class Broken:
        def load(self, folders: Folders, device: str) -> Any:
            raise FileNotFoundError("gone")

    models = pool()
    models.use(Weights("a"))
    with pytest.raises(FileNotFoundError):
        models.use(Broken())
    assert names(models) == ["a"]


def test_members_are_held_once_whoever_asks_for_them() -> None:
    models = pool()
    a, b, c = map(Weights, "abc")
    first, second = models.use(Pair((a, b))), models.use(Pair((b, c)))
    assert first[1] is second[0] is models.use(b)
    assert loaded == ["a on cpu", "b on cpu", "c on cpu"]
    assert models.used == 3000
    assert models.lend(Pair((c, a))).fresh is False
    assert models.lend(Pair((c, Weights("d")))).fresh is True


def test_members_do_not_push_each_other_out() -> None:
    models = pool(1500)
    models.use(Pair((Weights("a"), Weights("b"))))
    assert names(models) == ["a", "b"]
    models.use(Weights("c"))
    assert names(models) == ["c"]


def test_what_is_derived_shares_its_base_and_leaves_it_as_it_is() -> None:
    models = pool(10_000)
    base = Weights("base", size=500)
    weak, strong = models.use(Patched(base, 0.5)), models.use(Patched(base, 1.0))
    assert weak[0] is strong[0] is models.use(base)
    assert weak[1].weight[0, 0] == 0.5
    assert strong[1].weight[0, 0] == 1.0
    assert loaded == ["base on cpu", "0.5 of base", "1.0 of base"]
    assert models.used == 2000 + 1000 + 1000
    assert models.use(Patched(base, 0.5)) is weak


def test_what_is_quickly_derived_again_goes_before_its_base() -> None:
    models = pool(3000)
    base = Weights("base", size=500)
    models.use(Patched(base, 0.5))
    models.use(Weights("other"))
    assert models.used == 3000
    models.use(Patched(base, 0.5))
    assert loaded == ["base on cpu", "0.5 of base", "other on cpu", "0.5 of base"]


def test_a_model_that_a_node_still_holds_is_counted_and_handed_out_again() -> None:
    models = pool(1000)
    held = models.use(Weights("a"))
    models.use(Weights("b"))
    assert names(models) == ["b"]
    assert models.used == 2000
    assert models.use(Weights("a")) is held
    assert loaded == ["a on cpu", "b on cpu"]
    del held
    models.use(Weights("c"))
    assert models.used == 1000


def test_a_model_that_holds_itself_is_gone_when_it_is_let_go() -> None:
    models = pool(1000)
    model = models.use(Weights("a"))
    model.itself = [model]
    del model
    models.use(Weights("b"))
    assert models.used == 1000


def test_with_little_memory_everything_works_and_is_loaded_more_often() -> None:
    """A budget smaller than any two models gives what a large one gives."""
    base = Weights("body", size=500)
    wanted = [Weights("text"), Patched(base, 0.5), Weights("text"), Patched(base, 2.0), Weights("vae"), base]

    def run(budget: int) -> tuple[list[list[torch.Tensor]], int, int]:
        torch.manual_seed(0)
        models, peak, found = pool(budget), 0, []
        for handle in wanted * 2:
            found.append([p.clone() for p in models.use(handle).parameters()])
            peak = max(peak, models.used)
        return [[t.sort().values for t in tensors[1:]] for tensors in found], peak, models.loads

    large, room, loads = run(100_000)
    assert loads == 5
    assert room == 1000 + 2000 + 1000 + 1000 + 1000
    small, peak, more = run(1000)
    assert peak == 3000  # one derived model, alone
    assert more > loads
    for a, b in zip(large, small, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_derived_model_for_which_memory_is_short_makes_room_and_is_tried_again() -> None:
    @dataclass(frozen=True)
    class Greedy(Patched):
        def derive(self, model: Any, folders: Folders, device: str) -> torch.nn.Module:
            made = super().derive(model, folders, device)
            if loaded.count(loaded[-1]) == 1:
                raise torch.OutOfMemoryError("too large")
            return made

    models = pool(100_000)
    models.use(Weights("a"))
    models.use(Greedy(Weights("base"), 0.5))
    assert loaded == ["a on cpu", "base on cpu", "0.5 of base", "base on cpu", "0.5 of base"]
    assert Weights("a") not in models.residents
    assert len(models.residents) == 2


def test_clear_lets_every_model_go() -> None:
    models = pool()
    models.use(Weights("a"))
    models.clear()
    assert models.used == 0


def test_shared_weights_count_once() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(10, 10, bias=False), torch.nn.Linear(10, 10, bias=False))
    assert size_of(model) == 800
    model[1].weight = model[0].weight
    assert size_of(model) == 400
    model.register_buffer("extra", torch.zeros(10))
    assert size_of(model) == 440
    assert size_of("no module") == 0


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "cuda:-1", "CPU", "gpu"])
def test_what_is_no_device_is_told(name: str) -> None:
    with pytest.raises(GraphEngineError, match="is no device; use auto, cpu, mps, cuda or cuda:1"):
        Device.of(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(
        GraphEngineError, match=f"there is no device '{name}'; torch sees 0 GPUs; use --device cpu"
    ):
        Device.of(name)


def test_a_gpu_beyond_the_last_is_told() -> None:
    with pytest.raises(GraphEngineError, match="there is no device 'cuda:99'"):
        Device.of("cuda:99")


def test_on_the_cpu_models_may_take_half_of_the_memory() -> None:
    assert Device.of("cpu") == Device("cpu", machine_memory() // 2)
    assert machine_memory() > 1 << 28
