"""What was replaced is put back, and nothing is left on the user's objects."""

import itertools
import pickle
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed import distributed_c10d as c10d
from torch.optim import optimizer as optim
from torch.utils.data import dataloader

from sgdb_engine.gate import StopTraining
from sgdb_engine.observe import patches as patches_module
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.patches import Patches
from sgdb_engine.observe.told import Told

from .conftest import Bench, Net

PATCHED_PLACES = (
    *(
        nn.functional,
        nn.utils,
        nn.utils.clip_grad,
        torch.autograd,
        torch.distributed,
        c10d,
        torch.optim.Optimizer,
    ),
    *(
        torch.amp.GradScaler,
        nn.Module,
        nn.modules.module,
        dataloader._BaseDataLoaderIter,
        dataloader.DataLoader,
    ),
)
"""Whatever stands in these must be the same object afterwards."""


def everything_that_could_be_left() -> dict[str, object]:
    return {
        **{
            f"{place.__name__}.{name}": value
            for place in PATCHED_PLACES
            for name, value in vars(place).items()
            if type(value) in (types.FunctionType, staticmethod, classmethod, property, type)
        },
        "call": vars(nn.Module)["__call__"],
        "call of the class": vars(Net).get("__call__"),
        "call of Sequential": vars(nn.Sequential).get("__call__"),
        "backward": torch.autograd.backward,
        "fetch": vars(dataloader._BaseDataLoaderIter)["__next__"],
        "clip": torch.nn.utils.clip_grad_norm_,
        "clip in its module": torch.nn.utils.clip_grad.clip_grad_norm_,
        "pre hooks": dict(optim._global_optimizer_pre_hooks),
        "post hooks": dict(optim._global_optimizer_post_hooks),
        "forward hooks": dict(nn.modules.module._global_forward_hooks),
        "forward pre hooks": dict(nn.modules.module._global_forward_pre_hooks),
    }


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = everything_that_could_be_left()
    yield
    after = everything_that_could_be_left()
    assert [name for name in before if before[name] is not after[name] and before[name] != after[name]] == []


def hooks_on(model: nn.Module) -> list[str]:
    found = []
    for name, module in model.named_modules():
        found += [f"{name}.{key}" for key, value in vars(module).items() if "hooks" in key and value]
        found += [f"{name}.{key}" for key in ("__call__", "forward") if key in vars(module)]
    for name, parameter in model.named_parameters():
        found += [name] if parameter._backward_hooks or parameter._post_accumulate_grad_hooks else []
    return found


def test_all_is_put_back_after_an_ordinary_end(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        bench.step(3)
        assert hooks_on(bench.model) == []
    assert hooks_on(bench.model) == []


def test_all_is_put_back_when_nothing_was_trained(recorded: Any) -> None:
    with observe(recorded):
        pass


def test_what_is_replaced_for_strangers_and_for_ranks_is_put_back_too(recorded: Any, bench: Bench) -> None:
    before = everything_that_could_be_left()
    told = Told(validated=lambda metrics: None, epoch_ended=lambda epoch: None)
    with observe(recorded, budget=1.0, told=told, any_thread=True, ranks=2):
        during = everything_that_could_be_left()
        bench.step(3)
    replaced = {name for name in before if before[name] is not during[name]}
    assert {
        "torch.nn.functional.mse_loss",
        "torch.distributed.all_reduce",
        "torch.distributed.distributed_c10d.all_reduce",
        "torch.nn.utils.clip_grad._clip_grads_with_norm_",
        "torch.autograd.backward",
        "GradScaler.step",
    } <= replaced


@pytest.mark.parametrize(
    "error", [ValueError("mine"), StopTraining("asked", checkpoint=False), KeyboardInterrupt()]
)
def test_all_is_put_back_after_whatever_is_raised(recorded: Any, bench: Bench, error: BaseException) -> None:
    with pytest.raises(type(error)), observe(recorded):  # noqa: PT012  (the block is what is tested)
        bench.step(2)
        raise error


def test_all_is_put_back_when_a_stop_is_raised_from_the_safe_point(recorded: Any, bench: Bench) -> None:
    def stop_at_two(step: int) -> None:
        if step == 2:
            raise StopTraining("asked", checkpoint=False)

    before = None
    with pytest.raises(StopTraining), observe(recorded, safe_point=stop_at_two) as observer:  # noqa: PT012
        while True:
            before = [p.detach().clone() for p in bench.model.parameters()]
            bench.step()
    assert observer.step == 2
    assert all(torch.equal(a, b) for a, b in zip(before or [], bench.model.parameters(), strict=True))


def test_a_nested_sequential_as_the_model_leaves_nothing_on_its_class(recorded: Any) -> None:
    bench = Bench(nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Sequential(nn.Linear(4, 1))))
    with observe(recorded, budget=1.0) as observer:
        bench.step(3)
        assert observer.step == 3
    assert "grad_norm/0.0.weight" in recorded.tensor_rows[3]
    assert len(recorded.column("input/mean")) == 3


def test_two_observations_one_within_the_other_both_see_the_steps(bench: Bench) -> None:
    class Deaf:
        scalars = block = tensors = event = staticmethod(lambda *_: None)

    recorders: Any = [Deaf(), Deaf()]
    with observe(recorders[0]) as outer, observe(recorders[1]) as inner:
        bench.step(3)
    assert (outer.step, inner.step) == (3, 3)


def test_patches_that_cover_each_other_are_all_undone_in_whatever_order() -> None:
    def bare() -> str:
        return "bare"

    for order in itertools.permutations(range(3)):
        place = types.SimpleNamespace(function=bare)
        patches = [Patches() for _ in range(3)]
        for each in patches:
            each.replace(place, "function", lambda original: lambda: original() + "!")
        for i in order:
            patches[i].remove()
        assert place.function is bare


def test_a_patch_within_a_patch_leaves_nothing_waiting() -> None:
    place = types.SimpleNamespace(function=str)
    outer, inner, other = Patches(), Patches(), Patches()
    outer.undo_by(inner.remove)
    for each in (inner, other, outer):
        each.replace(place, "function", lambda original: lambda: original())
    waiting = len(patches_module._covered)
    outer.remove()
    other.remove()
    assert place.function is str
    assert len(patches_module._covered) == waiting


def test_hooks_come_and_go_while_a_training_is_held_in_another_thread(recorded: Any, bench: Bench) -> None:
    held, go_on = threading.Event(), threading.Event()
    steps = []

    def hold(step: int) -> None:
        held.set()
        assert go_on.wait(10)

    def train() -> None:
        with observe(recorded, safe_point=hold) as observer:
            bench.step(2)
            steps.append(observer.step)

    thread = threading.Thread(target=train)
    thread.start()
    assert held.wait(10)
    other = Bench()
    with observe(recorded) as observer:
        other.step()
    go_on.set()
    thread.join(10)
    assert steps == [2]
    assert observer.step == 1


def test_a_model_can_be_pickled_while_it_is_observed(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        bench.step(2)
        copy = pickle.loads(pickle.dumps((bench.model, bench.optimizer)))[0]
    assert torch.equal(copy(bench.x), bench.model(bench.x))


def test_a_patch_of_the_users_made_meanwhile_stays_and_ours_falls_silent(recorded: Any, bench: Bench) -> None:
    original = torch.autograd.backward
    calls = []
    with observe(recorded) as observer:
        ours = torch.autograd.backward

        def theirs(*args: Any, **kwargs: Any) -> None:
            calls.append(1)
            ours(*args, **kwargs)

        torch.autograd.backward = theirs  # type: ignore[assignment]
        bench.step()
    try:
        assert torch.autograd.backward is theirs
        rows = len(recorded.rows)
        bench.step()
        assert calls == [1, 1]
        assert len(recorded.rows) == rows
        assert observer.step == 1
    finally:
        torch.autograd.backward = original  # type: ignore[assignment]


def test_tracing_with_fx_sees_the_modules_as_if_nobody_observed(recorded: Any) -> None:
    inner = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    bench = Bench(nn.Sequential(inner, nn.Linear(4, 1)))
    plain = str(torch.fx.symbolic_trace(bench.model).graph)
    with observe(recorded):
        bench.step(2)
        assert str(torch.fx.symbolic_trace(bench.model).graph) == plain


class Parent:
    def greet(self) -> str:
        return "parent"


class Child(Parent):
    pass


class OtherChild(Parent):
    @staticmethod
    def make() -> str:
        return "made"


def test_an_inherited_function_is_removed_again_and_a_static_one_stays_static() -> None:
    patches = Patches()
    static = vars(OtherChild)["make"]
    patches.replace(Child, "greet", lambda original: lambda self: original(self) + "!")
    patches.replace(OtherChild, "make", lambda original: staticmethod(lambda: original() + "!"))
    assert (Child().greet(), OtherChild().make()) == ("parent!", "made!")
    patches.remove()
    assert "greet" not in vars(Child)
    assert vars(OtherChild)["make"] is static
