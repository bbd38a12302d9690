"""Hidden units, gradients and movement, seen while a training runs: what is told of them, and of what looks like it."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sgdb_engine.events import Finding, ProbeFailed
from sgdb_engine.findings.moving import Moving
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.told import Told
from sgdb_engine.witness.first_signals import FirstSignals
from sgdb_engine.witness.hidden import HiddenUnits
from sgdb_engine.witness.layers import FUNCTIONS, Layers
from sgdb_engine.witness.unreached import Unreached
from sgdb_engine.witness.used import UsedParameters

from .trainings import STEPS, Recorded, adam, batches, findings_of, net, rows


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def train(model: nn.Module, optimizer: Any = None, steps: int = STEPS, scale: float = 1.0) -> None:
    """On batches of 32."""
    optimizer = optimizer or adam(model)
    for x, y in batches(steps):
        optimizer.zero_grad()
        (scale * F.cross_entropy(model(x), y)).backward()
        optimizer.step()


def stack(*activations: nn.Module, width: int = 32) -> nn.Sequential:
    """A linear layer before each of them, and one behind all."""
    sizes = [8, *[width] * len(activations)]
    hidden = [
        layer
        for (before, after), activation in zip(itertools.pairwise(sizes), activations, strict=True)
        for layer in (nn.Linear(before, after), activation)
    ]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], 3))


# -- faults -----------------------------------------------------------------------------------------------


def dead_relu() -> None:
    model = stack(nn.ReLU(), nn.ReLU())
    nn.init.constant_(model[2].bias, -20.0)
    train(model)


def dead_relu_of_a_function_called_in_forward() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 3)
            nn.init.constant_(self.one.bias[8:], -20.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(F.relu(self.two(self.one(x).relu_())))

    train(Model())


def dead_relu_of_channels() -> None:
    picture = nn.Unflatten(1, (1, 2, 4))
    model = nn.Sequential(picture, nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    nn.init.constant_(model[1].bias[:6], -20.0)
    train(model)


def saturated() -> None:
    model = stack(nn.Tanh(), nn.Tanh())
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=2.0)
    train(model)


def vanishing() -> None:
    train(stack(*[nn.Sigmoid() for _ in range(12)]))


def exploding() -> None:
    model = stack(*[nn.ReLU() for _ in range(5)], width=64)
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=0.8)
    train(model, adam(model, lr=1e-6))


def update_lost() -> None:
    model = net().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x.bfloat16()).float(), y).backward()
        optimizer.step()


def param_not_updated() -> None:
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    train(model, torch.optim.SGD(groups, lr=0.1))


def no_grad_param() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), Cut(), nn.Linear(16, 3))
    train(model)


class Cut(nn.Module):
    """Lets no gradient through."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


def input_ignored() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x * (x > x.max()))

    train(Model())


def grad_underflow(scaler: Any = None) -> None:
    model = stack(nn.Tanh(), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            output = model(x)
        loss = 1e-7 * F.cross_entropy(output.float(), y)
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()


def grad_underflow_of_a_scaler_that_never_finds_finite_gradients() -> None:
    model = net()
    model[0].weight.register_hook(lambda gradient: gradient * torch.inf)
    optimizer, scaler = adam(model), torch.amp.GradScaler("cpu")
    for x, y in batches():
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()


class Lines(IterableDataset[Any]):
    """Rows one after the other; each worker gives all of them, or its share."""

    def __init__(self, shared_out: bool) -> None:
        self.x, self.y = rows(1024)
        self.shared_out = shared_out

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker is not None and self.shared_out else (0, 1)
        return zip(self.x[first::step], self.y[first::step], strict=True)


def dup_workers(shared_out: bool = False) -> None:
    model = net()
    optimizer = adam(model)
    loader = DataLoader(Lines(shared_out), batch_size=32, num_workers=2)
    for x, y in itertools.islice(loader, STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def unused_param() -> None:
    model = net()
    model.register_parameter("scale", nn.Parameter(torch.ones(1)))
    train(model)


FAULTS: dict[Callable[[], None], tuple[str, ...]] = {
    dead_relu: ("3",),
    dead_relu_of_a_function_called_in_forward: ("relu",),
    dead_relu_of_channels: ("2",),
    saturated: ("1", "3"),
    vanishing: ("0",),
    exploding: ("10",),
    update_lost: (),
    param_not_updated: ("0",),
    no_grad_param: ("0",),
    input_ignored: (),
    grad_underflow: (),
    grad_underflow_of_a_scaler_that_never_finds_finite_gradients: (),
    dup_workers: (),
    unused_param: ("scale",),
}
"""And where."""


def last_of_each(found: list[Finding]) -> list[Finding]:
    """As they stand at the end, but for what follows from others."""
    newest = {finding.code: finding for finding in found}
    return [finding for finding in newest.values() if not finding.cause and finding.state != "cleared"]


@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.parametrize(
    ("training", "where"), FAULTS.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_a_fault_is_told_and_nothing_else_and_where(
    training: Callable[[], None], where: tuple[str, ...]
) -> None:
    (one,) = last_of_each(findings_of(training))
    assert training.__name__.replace("_", "-").startswith(one.code)
    assert one.state == "confirmed"
    assert set(one.where) >= set(where)


def test_what_is_read_off_some_batches_is_suspected_at_first() -> None:
    for training in (dead_relu, saturated, param_not_updated):
        states = [f.state for f in findings_of(training) if not f.cause]
        assert states == ["suspected", "confirmed"]


# -- what looks like them ---------------------------------------------------------------------------------


def relus_of_which_many_values_are_zero() -> None:
    model = stack(nn.ReLU(), nn.ReLU())
    nn.init.constant_(model[0].bias, -1.0)
    train(model)


def a_relu_behind_the_last_layer() -> None:
    model = nn.Sequential(net(outputs=4), nn.ReLU())
    nn.init.constant_(model[0][2].bias, -20.0)
    optimizer = adam(model)
    for x, _ in batches():
        optimizer.zero_grad()
        F.mse_loss(model(x), torch.zeros(32, 4)).backward()
        optimizer.step()


def dead_units_of_a_part_that_does_not_learn() -> None:
    body = stack(nn.ReLU())[:2].requires_grad_(False)
    nn.init.constant_(body[0].bias[:20], -20.0)
    model = nn.Sequential(body, nn.Linear(32, 3))
    train(model, adam(model[1]))


def experts_that_take_turns() -> None:
    """Each sees its own examples; the first one next to none."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList([net() for _ in range(3)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            which = (x[:, 0] > -2.0).long() + (x[:, 0] > 0).long()
            out = x.new_zeros(len(x), 3)
            for i, expert in enumerate(self.experts):
                if (which == i).any():
                    out = out.index_put((which == i,), expert(x[which == i]))
            return out

    train(Model())


def the_gate_of_a_squeeze_and_excitation_block() -> None:
    """What comes into it hardly varies: each unit is on or off."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.picture, self.conv = nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 16, 1)
            self.squeeze, self.excite = nn.Linear(16, 4), nn.Linear(4, 16)
            self.head = nn.Linear(16, 3)
            nn.init.constant_(self.conv.bias, 5.0)
            nn.init.constant_(self.squeeze.bias, -1.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = F.relu(self.conv(self.picture(x)))
            gate = torch.sigmoid(self.excite(F.relu(self.squeeze(seen.mean((2, 3))))))
            return self.head((seen * gate[:, :, None, None]).mean((2, 3)))

    train(Model())


def an_output_that_is_sure_of_itself() -> None:
    model = net(nn.Sigmoid(), outputs=1)
    with torch.no_grad():
        model[2].weight *= 100
    optimizer = adam(model)
    for x, _ in batches():
        optimizer.zero_grad()
        F.binary_cross_entropy(model(x), (x[:, :1] > 0).float()).backward()
        optimizer.step()


def a_low_rank_branch_that_begins_at_zero() -> None:
    """LoRA: its first matrix has no gradient at first."""
    frozen, model = nn.Linear(8, 3).requires_grad_(False), nn.ModuleList()
    model.extend([frozen, nn.Linear(8, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 3)])
    nn.init.zeros_(model[3].weight)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.parts[0](x) + self.parts[3](self.parts[2](self.parts[1](x)))

    train(Model(), adam(nn.ModuleList(model[1:])))


def an_output_that_begins_at_zero() -> None:
    model = net()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    train(model)


def bf16_weights_that_move() -> None:
    model = net().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x.bfloat16()).float(), y).backward()
        optimizer.step()


def bf16_weights_whose_rate_warms_up() -> None:
    model = net().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-4, total_iters=500)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x.bfloat16()).float(), y).backward()
        optimizer.step()
        schedule.step()


def bf16_weights_whose_rounding_is_made_up_for() -> None:
    """Kahan: what rounding loses is kept in the state, and added to a later update."""
    model = net().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for p in model.parameters():
        optimizer.state[p]["kahan_comp"] = torch.zeros_like(p)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x.bfloat16()).float(), y).backward()
        optimizer.step()


def heads_that_take_turns() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.heads = nn.Linear(8, 16), nn.ModuleList([nn.Linear(16, 3) for _ in range(6)])
            self.turn = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.turn += 1
            return self.heads[self.turn % 6](F.relu(self.body(x)))

    model = Model()
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))


def a_group_that_is_thawed_after_some_steps() -> None:
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    for step, (x, y) in enumerate(batches()):
        optimizer.param_groups[0]["lr"] = 0.1 if step > 10 else 0.0
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def a_target_network_that_no_optimizer_holds() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online, self.target = net(), net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.online(x) + 0.1 * self.target(x).detach()

    model = Model()
    train(model, adam(model.online))


def float16_with_a_scaler() -> None:
    grad_underflow(torch.amp.GradScaler("cpu", init_scale=2.0**16))


def a_scaler_whose_first_scales_are_too_large() -> None:
    model = net()
    optimizer, scaler = adam(model), torch.amp.GradScaler("cpu", init_scale=2.0**16)
    model[0].weight.register_hook(lambda g: g * torch.inf if scaler.get_scale() > 1 else g)
    for x, y in batches(60):
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()


def workers_that_share_out_what_there_is() -> None:
    dup_workers(shared_out=True)


def recomputed_in_backward() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = stack(nn.ReLU(), nn.Tanh())[:4], nn.Linear(32, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(checkpoint(self.layers, x, use_reentrant=False))

    train(Model())


HEALTHY = (
    relus_of_which_many_values_are_zero,
    a_relu_behind_the_last_layer,
    dead_units_of_a_part_that_does_not_learn,
    experts_that_take_turns,
    the_gate_of_a_squeeze_and_excitation_block,
    an_output_that_is_sure_of_itself,
    a_low_rank_branch_that_begins_at_zero,
    an_output_that_begins_at_zero,
    bf16_weights_that_move,
    bf16_weights_whose_rate_warms_up,
    bf16_weights_whose_rounding_is_made_up_for,
    heads_that_take_turns,
    a_group_that_is_thawed_after_some_steps,
    a_target_network_that_no_optimizer_holds,
    float16_with_a_scaler,
    a_scaler_whose_first_scales_are_too_large,
    workers_that_share_out_what_there_is,
    recomputed_in_backward,
)


@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.parametrize("training", HEALTHY, ids=lambda each: each.__name__)
def test_its_healthy_look_alike_is_told_nothing(training: Callable[[], None]) -> None:
    assert [(f.code, f.state, f.message) for f in findings_of(training)] == []


# -- later on ---------------------------------------------------------------------------------------------


def told_of(training: Callable[[], object]) -> list[Finding]:
    """All that is told while it runs, with every step measured."""
    found: list[Finding] = []
    recorded = Recorded()
    with observe(recorded, budget=1.0, told=Told(found=found.append)):
        training()
    assert [event.error for event in recorded.events if isinstance(event, ProbeFailed)] == []
    return found


def dying(at_step: int, steps: int, back_at: int = 10**9) -> None:
    """Most units of a layer die at a step; perhaps they come back at another."""
    model = stack(nn.ReLU(), nn.ReLU())
    optimizer = adam(model, lr=1e-4)
    for step, (x, y) in enumerate(batches(steps), 1):
        if step in (at_step, back_at):
            nn.init.constant_(model[2].bias[:20], -20.0 if step == at_step else 0.0)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_units_that_die_during_the_run_are_told_at_their_step() -> None:
    found = told_of(functools.partial(dying, 200, 800))
    assert [(f.code, f.state) for f in found] == [("dead-relu", "suspected"), ("dead-relu", "confirmed")]
    assert 200 < found[0].step < 600
    assert found[0].where == ("3",)
    assert "at the start it was 3%" in found[0].message


def test_units_that_come_back_are_told_too() -> None:
    found = told_of(functools.partial(dying, 100, 1800, back_at=700))
    assert [f.state for f in found] == ["suspected", "confirmed", "cleared"]


# -- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "part"),
    [
        *((Layers, "_see"), (Layers, "_enter"), (Layers, "_function"), (Layers, "end_window")),
        *((HiddenUnits, "begin"), (Unreached, "begin"), (UsedParameters, "__init__")),
        *((FirstSignals, "before_update"), (FirstSignals, "called"), (Moving, "take")),
    ],
)
def test_whatever_fails_the_training_goes_on_and_nothing_stays_behind(
    owner: type, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    def seen() -> tuple[Any, ...]:
        places = (place for each in FUNCTIONS.values() for place in each)
        return nn.Module.__call__, *(vars(owner).get(name) for owner, name in places)

    before, recorded = seen(), Recorded()
    monkeypatch.setattr(owner, part, fail)
    with observe(recorded, told=Told()) as observer:
        no_grad_param()
        assert observer.step == STEPS
        assert seen()[1:] == before[1:]
    assert seen() == before
    assert [event.probe for event in recorded.events if isinstance(event, ProbeFailed)] == ["findings"]


# -- neutral ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [dead_relu, saturated, no_grad_param, unused_param, update_lost])
def test_a_training_that_is_looked_into_computes_the_same(
    training: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(watched: Callable[[Callable[[], None]], object]) -> list[torch.Tensor]:
        torch.manual_seed(0)
        made: list[nn.Parameter] = []
        register = nn.Module.register_parameter

        def note(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
            made.extend([parameter] if parameter is not None else [])
            register(module, name, parameter)

        with monkeypatch.context() as patched:
            patched.setattr(nn.Module, "register_parameter", note)
            watched(training)
        return [p.detach() for p in made]

    seen, unseen = weights(told_of), weights(lambda run: run())
    assert len(seen) == len(unseen) > 3
    assert all(map(torch.equal, seen, unseen))
