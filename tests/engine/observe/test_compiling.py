"""Under torch.compile and torch.jit nothing of ours is traced."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounter

from sgdb_engine.observe.hooks import observe

from .conftest import Bench
from .test_strangers import Heard, heard

__all__ = ["heard"]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def frames(prepare: Callable[[Bench, Any], None], watching: Any) -> tuple[int, int, list[torch.Tensor]]:
    """Compiled frames and operations, and the weights after three steps."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    counter = CompileCounter()
    bench = Bench()
    with watching:
        prepare(bench, counter)
        bench.step(3)
    return counter.frame_count, counter.op_count, [p.detach().clone() for p in bench.model.parameters()]


def compile_model(bench: Bench, backend: Any) -> None:
    bench.model = torch.compile(bench.model, backend=backend)  # type: ignore[assignment]


def compile_in_place(bench: Bench, backend: Any) -> None:
    bench.model.compile(backend=backend)


def compile_a_part(bench: Bench, backend: Any) -> None:
    bench.model.hidden = torch.compile(bench.model.hidden, backend=backend)  # type: ignore[assignment]


def compile_a_whole_forward(bench: Bench, backend: Any) -> None:
    inner = bench.loss
    bench.loss = torch.compile(inner, backend=backend)  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "prepare", [compile_model, compile_in_place, compile_a_part, compile_a_whole_forward]
)
def test_as_many_frames_and_operations_are_compiled_as_without_us(
    prepare: Callable[[Bench, Any], None], recorded: Any
) -> None:
    plain = frames(prepare, nullcontext())
    observed = frames(prepare, observe(recorded, budget=1.0))
    assert observed[:2] == plain[:2]
    assert plain[0] > 0
    assert all(torch.equal(a, b) for a, b in zip(plain[2], observed[2], strict=True))
    assert recorded.failed_probes == []
    assert recorded.column("step") == [1, 2, 3]


def test_a_compiled_model_keeps_the_names_of_its_parameters(recorded: Any) -> None:
    frames(compile_model, observe(recorded, budget=1.0))
    assert "grad_norm/hidden.weight" in recorded.tensor_rows[3]


def test_a_compiled_optimizer_step_is_not_broken(recorded: Any) -> None:
    torch._dynamo.reset()
    bench = Bench()
    step = torch.compile(bench.optimizer.step, backend="eager")
    with observe(recorded, budget=1.0):
        for _ in range(2):
            bench.optimizer.zero_grad()
            bench.loss().backward()
            step()
    assert recorded.failed_probes == []


def test_tracing_a_module_works_while_a_training_is_observed(recorded: Any, bench: Bench) -> None:
    with observe(recorded):
        bench.step()
        traced = torch.jit.trace(bench.model, bench.x)
        bench.step()
    assert torch.equal(traced(bench.x), bench.model(bench.x))


def test_a_backward_in_a_compiled_function_is_seen(recorded: Any, bench: Bench) -> None:
    @torch.compile(backend="eager")
    def backward() -> torch.Tensor:
        loss = bench.loss()
        loss.backward()
        return loss

    losses = []
    with observe(recorded):
        for _ in range(6):
            bench.optimizer.zero_grad()
            losses.append(backward().item())
            bench.optimizer.step()
    assert recorded.column("train/loss") == losses


def test_a_step_that_is_compiled_whole_is_seen(recorded: Any, bench: Bench) -> None:
    with observe(recorded) as observer:
        step = torch.compile(bench.step, backend="eager")
        for _ in range(12):
            step(1)
    assert observer.step == 12
    assert len(recorded.column("train/loss")) == 12


def test_what_was_compiled_may_be_evaluated_as_it_was(recorded: Any, bench: Bench, heard: Heard) -> None:
    raw = bench.model
    with observe(recorded, told=heard.told):
        bench.model = torch.compile(raw, backend="eager")  # type: ignore[assignment]
        bench.step(5)
        raw.eval()
        with torch.no_grad():
            expected = F.mse_loss(raw(bench.x), bench.y).item()
    assert [each["val/loss"] for each in heard.validated] == [expected]
