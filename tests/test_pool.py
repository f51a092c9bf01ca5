from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from graphengine.authoring import Folders
from graphengine.errors import GraphEngineError, OutOfMemory
from graphengine.pool import Device, ModelPool, machine_memory, size_of

loaded: list[str] = []


@dataclass(frozen=True)
class Weights:
    name: str
    size: int = 250
    failures: int = 0

    def load(self, folders: Folders, device: str) -> torch.nn.Module:
        loaded.append(f"{self.name} on {device}")
        if loaded.count(f"{self.name} on {device}") <= self.failures:
            raise torch.OutOfMemoryError("too large")
        return torch.nn.Linear(self.size, 1, bias=False)


@pytest.fixture(autouse=True)
def none_loaded() -> None:
    loaded.clear()


def pool(budget: int = 3000) -> ModelPool:
    return ModelPool("cpu", Folders(), budget)


def test_a_model_is_loaded_once_for_equal_handles() -> None:
    models = pool()
    assert models.use(Weights("a")) is models.use(Weights("a"))
    assert loaded == ["a on cpu"]
    assert models.used == 1000


def test_the_one_not_used_for_the_longest_time_makes_room() -> None:
    models = pool()
    for name in "abc":
        models.use(Weights(name))
    models.use(Weights("a"))
    models.use(Weights("d"))
    assert models.used == 3000
    assert [handle.name for handle in models.residents] == ["c", "a", "d"]
    models.use(Weights("b"))
    assert loaded == ["a on cpu", "b on cpu", "c on cpu", "d on cpu", "b on cpu"]


def test_a_model_larger_than_the_budget_is_used_alone() -> None:
    models = pool()
    models.use(Weights("small"))
    assert models.use(Weights("large", 5000)) is not None
    assert [handle.name for handle in models.residents] == ["large"]


def test_when_the_memory_is_full_everything_else_goes_and_it_is_tried_once_more() -> None:
    models = pool()
    models.use(Weights("a"))
    models.use(Weights("b", failures=1))
    assert loaded == ["a on cpu", "b on cpu", "b on cpu"]
    assert [handle.name for handle in models.residents] == ["b"]


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
    assert [handle.name for handle in models.residents] == ["a"]


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
