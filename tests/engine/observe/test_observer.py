"""What a row says of a step."""

import copy
import math
import multiprocessing
import os
import threading
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from torch import nn

from sgdb_engine.events import Finding
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.measurements import tensors_in
from sgdb_engine.observe.told import Told

from .conftest import Bench, Net


def norm_of(tensors: Any) -> float:
    return math.sqrt(sum(t.double().square().sum().item() for t in tensors))


# -- losses and learning rates ----------------------------------------------------------------------------


def test_every_step_has_its_loss_and_learning_rate_even_without_a_budget(recorded: Any, bench: Bench) -> None:
    losses = []
    with observe(recorded, budget=0.0) as observer:
        for _ in range(5):
            losses.append(bench.loss().item())
            bench.step()
    assert recorded.column("train/loss") == losses
    assert recorded.column("lr") == [0.1] * 5
    assert recorded.column("step") == [1, 2, 3, 4, 5]
    assert recorded.tensor_rows == {}
    assert observer.rows.latest["train/loss"] == losses[-1]


def test_the_loss_of_an_update_is_the_sum_over_the_backward_calls_since_the_last(
    recorded: Any, bench: Bench
) -> None:
    with observe(recorded):
        for _ in range(2):
            parts = [(bench.model(bench.x[i]) - bench.y[i]).square().sum() / 5 for i in range(5)]
            torch.autograd.backward(parts[:2])
            for part in parts[2:]:
                part.backward()
            bench.optimizer.step()
            bench.optimizer.zero_grad()
            expected = sum(part.item() for part in parts)
    assert recorded.column("train/loss")[1] == pytest.approx(expected)


def test_backward_of_something_that_is_no_scalar_is_no_loss(recorded: Any, bench: Bench) -> None:
    with observe(recorded):
        output = bench.model(bench.x)
        torch.autograd.backward(output, grad_tensors=torch.ones_like(output))
        bench.optimizer.step()
    assert recorded.column("train/loss") == []
    assert recorded.column("step") == [1]
    assert recorded.failed_probes == []


def test_each_group_of_the_optimizer_has_its_learning_rate(recorded: Any) -> None:
    bench = Bench()
    assert isinstance(bench.model, Net)
    bench.optimizer = torch.optim.SGD(
        [{"params": bench.model.hidden.parameters(), "lr": 0.5}, {"params": bench.model.out.parameters()}],
        lr=0.25,
    )
    with observe(recorded):
        bench.step()
    row = recorded.rows[0]
    assert (row["lr"], row["lr/0"], row["lr/1"]) == (0.5, 0.5, 0.25)


def test_a_learning_rate_that_is_a_tensor_is_recorded(recorded: Any, bench: Bench) -> None:
    bench.optimizer = torch.optim.Adam(bench.model.parameters(), lr=torch.tensor(0.5), capturable=False)
    with observe(recorded):
        bench.step()
    assert recorded.rows[0]["lr"] == 0.5


def test_a_closure_is_evaluated_many_times_and_is_one_step(recorded: Any, bench: Bench) -> None:
    bench.optimizer = torch.optim.LBFGS(bench.model.parameters(), max_iter=4)  # type: ignore[assignment]
    held: list[tuple[int, bool]] = []
    weights = copy.deepcopy(bench.model.state_dict())

    def closure() -> torch.Tensor:
        bench.optimizer.zero_grad()
        loss = bench.loss()
        loss.backward()
        return loss

    def safe_point(step: int) -> None:
        untouched = all(torch.equal(v, weights[k]) for k, v in bench.model.state_dict().items())
        held.append((step, untouched and bench.x.grad is None))

    first = bench.loss().item()
    with observe(recorded, budget=1.0, safe_point=safe_point) as observer:
        bench.optimizer.step(closure)  # type: ignore[arg-type]
        assert observer.step == 1
        bench.optimizer.step(closure=closure)  # type: ignore[arg-type]
        assert observer.step == 2
    assert held[0] == (0, True)
    assert len(held) == 2
    assert recorded.column("train/loss")[0] == pytest.approx(first)
    assert recorded.tensor_rows[1]["update_ratio/out.weight"] > 0
    assert recorded.failed_probes == []


# -- gradients and clipping -------------------------------------------------------------------------------


def clipped_steps(
    bench: Bench, count: int, max_norm: float = 0.1, norm_type: float = 2.0
) -> list[list[torch.Tensor]]:
    """Trains with clipping; returns the gradients of each step as they were before it."""
    unclipped = []
    for _ in range(count):
        bench.optimizer.zero_grad()
        bench.loss().backward()
        unclipped.append([p.grad.clone() for p in bench.model.parameters() if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(bench.model.parameters(), max_norm, norm_type)
        bench.optimizer.step()
    return unclipped


@pytest.mark.parametrize("budget", [0.0, 0.02, 1.0])
def test_the_gradient_norm_is_the_one_before_the_clip(budget: float, recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=budget):
        unclipped = clipped_steps(bench, 4)
    norms = [norm_of(gradients) for gradients in unclipped]
    assert recorded.column("grad_norm") == pytest.approx(norms, rel=1e-5)
    assert recorded.column("clip_coef") == pytest.approx([0.1 / (norm + 1e-6) for norm in norms], rel=1e-5)


def test_the_gradients_of_each_tensor_are_those_before_the_clip_from_the_first_step_on(
    recorded: Any, bench: Bench
) -> None:
    with observe(recorded, budget=1.0):
        unclipped = clipped_steps(bench, 2)
    for step, gradients in enumerate(unclipped, start=1):
        for (name, _), gradient in zip(bench.model.named_parameters(), gradients, strict=True):
            assert recorded.tensor_rows[step][f"grad_norm/{name}"] == pytest.approx(
                norm_of([gradient]), rel=1e-5
            )


def test_gradients_below_the_limit_have_the_coefficient_one(recorded: Any, bench: Bench) -> None:
    with observe(recorded):
        clipped_steps(bench, 1, max_norm=1e6)
    assert recorded.rows[0]["clip_coef"] == 1.0


def test_a_norm_that_is_not_the_euclidean_one_is_not_taken_for_the_gradient_norm(
    recorded: Any, bench: Bench
) -> None:
    with observe(recorded, budget=0.0):
        clipped_steps(bench, 1, norm_type=math.inf)
    assert "grad_norm" not in recorded.rows[0]
    with observe(recorded, budget=1.0):
        unclipped = clipped_steps(bench, 1, norm_type=math.inf)
    assert recorded.rows[1]["grad_norm"] == pytest.approx(norm_of(unclipped[0]), rel=1e-5)


@pytest.mark.parametrize("budget", [0.02, 1.0])
def test_clipping_a_part_is_not_taken_for_the_whole(budget: float, recorded: Any, bench: Bench) -> None:
    assert isinstance(bench.model, Net)
    with observe(recorded, budget=budget):
        for _ in range(4):
            bench.optimizer.zero_grad()
            bench.loss().backward()
            expected = norm_of(p.grad for p in bench.model.parameters() if p.grad is not None)
            torch.nn.utils.clip_grad_norm_(bench.model.hidden.parameters(), 0.1)
            torch.nn.utils.clip_grad_norm_(bench.model.out.weight, 0.1)
            bench.optimizer.step()
    assert recorded.column("clip_coef") == []
    sampled = [row for row in recorded.rows if row["step"] == 4 and "grad_norm" in row]
    assert [row["grad_norm"] for row in sampled] == pytest.approx([expected] * len(sampled), rel=1e-5)


def test_the_update_ratio_is_how_far_the_weights_moved_beside_their_size(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        for step in range(1, 4):
            before = {n: p.detach().clone() for n, p in bench.model.named_parameters()}
            bench.step()
            for name, p in bench.model.named_parameters():
                expected = norm_of([p.detach() - before[name]]) / norm_of([p.detach()])
                assert recorded.tensor_rows[step][f"update_ratio/{name}"] == pytest.approx(expected, rel=1e-4)


# -- what is a step, and whose time it is -----------------------------------------------------------------


class Doubled(torch.optim.SGD):
    """Calls its parent's step."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Wrapping(torch.optim.Optimizer):
    """Lets another optimizer do the work, twice."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner
        super().__init__([p for group in inner.param_groups for p in group["params"]], {"lr": 0.1})

    def step(self, closure: Any = None) -> Any:
        self.inner.step()
        return self.inner.step()


@pytest.mark.parametrize("kind", [Doubled, Wrapping])
def test_an_optimizer_that_calls_another_ones_step_counts_once(
    kind: type, recorded: Any, bench: Bench
) -> None:
    inner = torch.optim.SGD(bench.model.parameters(), lr=0.1)  # so that SGD.step itself is hooked as well
    bench.optimizer = kind(inner) if kind is Wrapping else kind(bench.model.parameters(), lr=0.1)
    with observe(recorded) as observer:
        bench.step(3)
    assert observer.step == 3
    assert recorded.column("step") == [1, 2, 3]


class Moody(torch.optim.SGD):
    """Raises in its second step."""

    calls = 0

    def step(self, closure: Any = None) -> Any:
        Moody.calls += 1
        if Moody.calls == 2:
            raise RuntimeError("not today")
        return super().step(closure)


def test_a_step_that_raises_is_none_and_the_next_ones_are_counted_again(recorded: Any, bench: Bench) -> None:
    Moody.calls = 0
    bench.optimizer = Moody(bench.model.parameters(), lr=0.1)
    with observe(recorded, budget=1.0) as observer:
        bench.step()
        with pytest.raises(RuntimeError, match="not today"):
            bench.step()
        bench.step(2)
    assert observer.step == 3
    assert recorded.failed_probes == []


def test_a_forward_that_raises_leaves_the_observation_intact(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        bench.step()
        with pytest.raises(RuntimeError):
            bench.model(torch.randn(2, 99))
        bench.step()
    assert [row["time/forward"] > 0 for row in recorded.rows] == [True, True]
    assert len(recorded.column("input/mean")) == 2


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for module in ("guard", "observer", "hooks", "loaders", "models", "rows", "updates"):
            monkeypatch.setattr(f"sgdb_engine.observe.{module}.clock", lambda: self.now)

    def spend(self, seconds: float) -> None:
        self.now += seconds


class Slow(Net):
    """Takes two seconds a call."""

    clock: Clock

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.spend(2)
        return super().forward(x)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def slow(clock: Clock) -> Bench:
    bench = Bench(Slow())
    bench.model.clock = clock  # type: ignore[assignment]
    return bench


def test_the_time_of_a_step_is_split_into_its_parts(recorded: Any, slow: Bench, clock: Clock) -> None:
    class Data(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, i: int) -> torch.Tensor:
            clock.spend(1)
            return slow.x[i % 5]

    with observe(recorded):
        for x in torch.utils.data.DataLoader(Data(), batch_size=2):
            loss = slow.model(x).square().mean()
            clock.spend(0.5)
            loss.backward()
            slow.optimizer.step()
            clock.spend(0.25)
    assert recorded.column("time/data") == [2, 2, 2]
    assert recorded.column("time/forward") == [2, 2, 2]
    assert recorded.column("time/step") == [4.5, 4.75, 4.75]


@pytest.mark.parametrize("gradients", [True, False])
def test_an_evaluation_between_two_steps_is_not_a_steps_time(
    gradients: bool, recorded: Any, slow: Bench, clock: Clock
) -> None:
    loader = torch.utils.data.DataLoader(slow.x, batch_size=5)
    with observe(recorded):
        for _ in range(3):
            slow.step()
            slow.model.eval()
            with torch.set_grad_enabled(gradients):
                for x in loader:
                    clock.spend(7)
                    slow.model(x)
                    clock.spend(7)
            clock.spend(50)
            slow.model.train()
    assert recorded.column("time/step") == [2, 2, 2]
    assert recorded.column("time/forward") == [2, 2, 2]


def test_training_in_eval_mode_is_timed_like_any_other(recorded: Any, slow: Bench, clock: Clock) -> None:
    slow.model.eval()
    with observe(recorded, budget=1.0):
        for _ in range(3):
            slow.step()
            clock.spend(1)
    assert recorded.column("time/step") == [2, 3, 3]
    assert recorded.column("time/forward") == [2, 2, 2]
    assert len(recorded.column("input/mean")) == 3


def test_a_pause_at_the_safe_point_is_nobodys_time(recorded: Any, slow: Bench, clock: Clock) -> None:
    with observe(recorded, safe_point=lambda step: clock.spend(1000)) as observer:
        slow.step(3)
    assert recorded.column("time/step") == [2, 2, 2]
    assert recorded.column("time/sgdb") == [0, 0, 0]
    assert observer.budget.own_share == 0


def test_what_sgdb_costs_is_a_column_and_a_share(
    recorded: Any, slow: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgdb_engine.observe.measurements.tensors_in", lambda *_: clock.spend(1) or {})
    with observe(recorded, budget=1.0) as observer:
        slow.step(3)
    assert recorded.column("time/sgdb") == [2, 2, 2]
    assert recorded.column("time/step") == [4, 4, 4]
    assert observer.budget.own_share == 0.5


def test_a_step_of_parts_of_the_model_called_again_in_backward_counts_one_forward(
    recorded: Any, clock: Clock
) -> None:
    class Checkpointed(Slow):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=False)  # type: ignore[no-any-return]

    bench = Bench(Checkpointed())
    bench.model.clock = clock  # type: ignore[assignment]
    with observe(recorded):
        bench.step(2)
    assert recorded.column("time/forward") == [2, 2]
    assert recorded.column("time/backward") == [2, 2]


# -- the model and its parameters -------------------------------------------------------------------------


def test_tensors_have_pytorchs_names_and_a_frozen_one_is_not_among_them(recorded: Any, bench: Bench) -> None:
    assert isinstance(bench.model, Net)
    bench.model.hidden.weight.requires_grad_(False)
    with observe(recorded, budget=1.0):
        bench.step()
    measured = {name.partition("/")[2] for name in recorded.tensor_rows[1]}
    assert measured == {"hidden.bias", "out.weight", "out.bias"}


def test_a_parameter_that_is_thawed_later_is_measured_from_then_on(recorded: Any, bench: Bench) -> None:
    assert isinstance(bench.model, Net)
    bench.model.hidden.weight.requires_grad_(False)
    with observe(recorded, budget=1.0):
        bench.step(2)
        bench.model.hidden.weight.requires_grad_(True)
        bench.step()
    assert "grad_norm/hidden.weight" not in recorded.tensor_rows[2]
    assert recorded.tensor_rows[3]["grad_norm/hidden.weight"] > 0


def test_a_parameter_that_gets_no_gradient_does_not_move(recorded: Any, bench: Bench) -> None:
    bench.model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    bench.optimizer = torch.optim.SGD(bench.model.parameters(), lr=0.1)
    with observe(recorded, budget=1.0):
        bench.step(2)
    row = recorded.tensor_rows[2]
    assert (row["grad_norm/unused"], row["update_ratio/unused"], row["param_mean/unused"]) == (0, 0, 1)


def test_tied_weights_are_measured_once_under_their_first_name(recorded: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    model[1].weight = model[0].weight
    bench = Bench(model)
    with observe(recorded, budget=1.0):
        bench.step()
    assert [n for n in recorded.tensor_rows[1] if n.startswith("grad_norm/")] == [
        "grad_norm/0.weight", "grad_norm/0.bias", "grad_norm/1.bias", "grad_norm/2.weight", "grad_norm/2.bias",
    ]  # fmt: skip


def test_two_models_of_one_optimizer_keep_their_tensors_apart(recorded: Any, bench: Bench) -> None:
    encoder, decoder = nn.Linear(3, 4), nn.Linear(4, 1)
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
    with observe(recorded, budget=1.0):
        for _ in range(2):
            decoder(encoder(bench.x)).sum().backward()
            optimizer.step()
    names = [n.partition("/")[2] for n in recorded.tensor_rows[2] if n.startswith("grad_norm/")]
    assert names == ["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"]


def test_the_model_is_the_module_that_is_optimized_not_the_one_called_first(
    recorded: Any, bench: Bench
) -> None:
    teacher = nn.Linear(3, 3)
    with observe(recorded, budget=1.0):
        for _ in range(3):
            bench.x = teacher(bench.x).detach()
            bench.step()
    assert "grad_norm/hidden.weight" in recorded.tensor_rows[1]
    assert recorded.rows[2]["input/mean"] == pytest.approx(bench.x.mean().item(), abs=1e-6)


def test_parameters_of_a_model_that_was_never_called_are_numbered(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        for p in bench.model.parameters():
            p.grad = torch.ones_like(p)
        bench.optimizer.step()
    assert "grad_norm/param.0" in recorded.tensor_rows[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.ones(2), {"input"}),
        ((torch.ones(2),), {"input"}),
        ((torch.ones(2), torch.ones(2)), {"input.0", "input.1"}),
        ({"x": torch.ones(2), "mask": torch.ones(2, dtype=torch.bool)}, {"input.x", "input.mask"}),
        ([{"a": (torch.ones(1), "text", None)}, torch.tensor(3)], {"input.0.a.0", "input.1"}),
        (torch.ones(2, dtype=torch.complex64), set()),
        (torch.eye(2).to_sparse(), set()),
        ("nothing", set()),
    ],
)
def test_inputs_of_any_form_are_found(value: Any, expected: set[str]) -> None:
    assert set(tensors_in("input", value)) == expected


class Mixed(nn.Module):
    """Takes token numbers and a keyword, gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 3)

    def forward(self, tokens: torch.Tensor, *, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.embedding(tokens) * scale
        return {"y": y, "mean": y.mean()}


def test_integer_inputs_keywords_and_outputs_in_a_dict_have_ranges(recorded: Any) -> None:
    model = Mixed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with observe(recorded, budget=1.0):
        output = model(torch.tensor([1, 5, 8]), scale=torch.tensor(2.0))
        output["mean"].backward()
        optimizer.step()
    row = recorded.rows[0]
    assert (row["input.0/min"], row["input.0/max"]) == (1, 8)
    assert row["input.scale/mean"] == 2
    assert row["output.y/mean"] == pytest.approx(output["y"].mean().item())
    assert row["output.mean/std"] == 0


# -- what is logged ---------------------------------------------------------------------------------------


def test_logged_values_are_part_of_the_row_of_their_step_also_with_a_validation_between(
    recorded: Any, bench: Bench
) -> None:
    with observe(recorded) as observer:
        observer.logged.add({"train/mine": torch.tensor(1.5), "mine": 2})
        with torch.no_grad():
            bench.model(bench.x)
        bench.step()
        observer.log_now({"val/loss": 0.5})
        observer.logged.add({"mine": np.float32(3)})
        bench.step()
    assert (recorded.rows[0]["train/mine"], recorded.rows[0]["mine"]) == (1.5, 2)
    assert recorded.rows[1] == {"step": 1, "val/loss": 0.5}
    assert recorded.rows[2]["mine"] == 3
    assert observer.rows.latest["val/loss"] == 0.5


def test_a_logged_tensor_is_taken_as_it_is_now(recorded: Any, bench: Bench) -> None:
    value = torch.tensor(1.0)
    with observe(recorded) as observer:
        observer.logged.add({"mine": value})
        value.fill_(99)
        bench.step()
    assert recorded.rows[0]["mine"] == 1


@pytest.mark.parametrize("wrong", ["text", torch.ones(3), None])
def test_a_value_that_is_no_number_is_told_and_the_others_are_recorded(
    wrong: Any, recorded: Any, bench: Bench
) -> None:
    with observe(recorded) as observer:
        for _ in range(2):
            observer.logged.add({"wrong": wrong, "right": 1.0})
            bench.step()
        observer.log_now({"wrong": wrong})
    assert recorded.column("right") == [1, 1]
    assert recorded.failed_probes == ["log wrong", "log"]


# -- NaN --------------------------------------------------------------------------------------------------


def test_nan_is_recorded_told_once_and_the_next_step_names_the_tensors(recorded: Any, bench: Bench) -> None:
    found: list[Finding] = []
    with observe(recorded, budget=1e-9, told=Told(found=found.append)):
        bench.step(10)
        sampled = set(recorded.tensor_rows)
        bench.y[0, 0] = math.nan
        bench.step(5)
    assert 10 not in sampled
    assert [math.isnan(loss) for loss in recorded.column("train/loss")] == [False] * 10 + [True] * 5
    assert set(recorded.tensor_rows) - sampled == {12, 13}
    by_place = {finding.where: finding for finding in found}
    assert len(by_place) == len(found)
    assert by_place["train/loss",].step == 11
    tensors = next(f for f in found if len(f.where) > 1)
    assert tensors.step == 12
    assert set(tensors.where) == {name for name, _ in bench.model.named_parameters()}


# -- who is observed --------------------------------------------------------------------------------------


def test_another_thread_is_not_observed(recorded: Any, bench: Bench) -> None:
    other = Bench()
    with observe(recorded) as observer:
        bench.step()
        thread = threading.Thread(target=other.step, args=(3,))
        thread.start()
        thread.join()
        assert observer.step == 1
        bench.step()
    assert observer.step == 2
    assert recorded.column("step") == [1, 2]


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_is_not_observed(recorded: Any, bench: Bench) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with observe(recorded) as observer:
        bench.step()
        child = os.fork()
        if child == 0:
            bench.step()
            sender.send(observer.step)
            os._exit(0)
        os.waitpid(child, 0)
        assert receiver.recv() == 1
        bench.step()
    assert observer.step == 2


def test_the_default_device_of_the_user_is_not_that_of_our_numbers(recorded: Any, bench: Bench) -> None:
    torch.set_default_device("meta")
    try:
        with observe(recorded, budget=1.0):
            bench.step(2)
    finally:
        torch.set_default_device(None)
    assert recorded.failed_probes == []
    assert not math.isnan(recorded.rows[1]["input/mean"])


def test_a_batch_with_nan_is_named_also_in_a_step_that_was_not_to_be_measured(
    recorded: Any, bench: Bench
) -> None:
    found: list[Finding] = []
    with observe(recorded, budget=0.0, told=Told(found=found.append)):
        bench.step(3)
        bench.x[0, 0] = torch.nan
        bench.step(3)
    assert [(finding.code, finding.step) for finding in found] == [("input-nonfinite", 4)], (
        "the rest follows from it"
    )
    assert next(row["step"] for row in recorded.rows if "input/nonfinite" in row) == 4


def test_rows_wait_for_one_another_but_none_is_lost_or_late(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=0.0) as observer:
        bench.step(50)
        observer.log_now({"val/loss": 0.5})
        assert [row["step"] for row in recorded.rows] == [*range(1, 51), 50]
        bench.step(3)
        observer.flush()
        assert recorded.rows[-1]["step"] == 53
        bench.step(2)
    assert recorded.rows[-1]["step"] == 55
