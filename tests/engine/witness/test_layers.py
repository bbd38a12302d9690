"""Places of a model: their names, their units, and that nothing of ours stays behind."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdb_engine.findings.facts import LayerSignal
from sgdb_engine.witness.layers import FUNCTIONS, Layers, run_directly, something_is_compiled
from sgdb_engine.witness.watched import LEAST_ROWS, WINDOW_CALLS, WINDOW_ROWS


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def everything_replaced() -> list[object]:
    places = [vars(owner).get(name) for each in FUNCTIONS.values() for owner, name in each]
    return [nn.Module.__call__, *places]


def call(layers: Layers, model: nn.Module, x: torch.Tensor) -> None:
    """One call that is looked at."""
    layers.begin(run_directly)
    try:
        model(x)
    finally:
        layers.end()


def signals_of(
    model: nn.Module, calls: int = WINDOW_CALLS, shape: tuple[int, ...] = (64, 8)
) -> dict[str, LayerSignal]:
    layers = Layers(model)
    for _ in range(calls):
        call(layers, model, torch.randn(shape))
    return {signal.name: signal for signal in layers.signals()}


class Reusing(nn.Module):
    """One module of ReLU at two places, a function in a part, and a method."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.act, self.part = nn.ReLU(), Part()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.part(self.act(self.two(self.act(self.one(x))))).tanh())


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(F.relu(self.inner(x), inplace=True))


def test_places_are_named_by_the_module_that_calls_and_told_apart_by_number() -> None:
    assert list(signals_of(Reusing())) == [
        *("one", "act", "two", "act (2)", "part.inner", "part.relu", "part.sigmoid", "tanh", "head")
    ]


def test_what_stands_behind_the_last_weights_is_marked() -> None:
    signals = signals_of(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()))
    assert {name: signal.is_last for name, signal in signals.items() if signal.kind == "relu"} == {
        "1": False,
        "3": True,
    }


def test_weights_of_the_users_own_layer_count_as_weights() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(x @ self.weight)

    signals = signals_of(nn.Sequential(Dense(), Dense(), nn.LayerNorm(8)))
    assert not signals["0.relu"].is_last


def of_pictures(dead: int) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    nn.init.constant_(model[0].bias[:dead], -50.0)
    return model


def of_sequences(dead: int) -> nn.Module:
    model = nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Conv1d(8, 4, 3))
    nn.init.constant_(model[0].bias[:dead], -50.0)
    return model


def of_tokens(dead: int) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4))
    nn.init.constant_(model[0].bias[:dead], -50.0)
    return model


@pytest.mark.parametrize(
    ("make", "shape"),
    [(of_pictures, (16, 2, 6, 6)), (of_sequences, (16, 2, 9)), (of_tokens, (16, 5, 2)), (of_tokens, (16, 2))],
)
@pytest.mark.parametrize("dead", [2, 6, 8])
def test_units_are_channels_behind_a_convolution_and_else_the_last_dimension(
    make: Callable[[int], nn.Module], shape: tuple[int, ...], dead: int
) -> None:
    assert signals_of(make(dead), shape=shape)["1"].dead == dead / 8


def test_where_the_others_always_fire_the_input_does_not_vary() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4))
    nn.init.constant_(model[0].bias[:6], -50.0)
    nn.init.constant_(model[0].bias[6:], 50.0)
    signal = signals_of(model, shape=(64, 2))["1"]
    assert (signal.dead, signal.units) == (0.0, 8)


def test_of_few_rows_no_unit_is_called_dead() -> None:
    assert signals_of(of_tokens(6), shape=(LEAST_ROWS // WINDOW_CALLS - 1, 2))["1"].dead == 0.0
    assert signals_of(of_tokens(6), calls=9, shape=(WINDOW_ROWS, 2))["1"].dead == 0.0


def test_a_unit_that_fires_once_in_a_window_lives_and_in_the_next_it_may_be_dead() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    for parameter in model[0].parameters():
        nn.init.ones_(parameter)
    layers, seen = Layers(model), []
    for turn in range(2 * WINDOW_CALLS):
        call(layers, model, torch.full((WINDOW_ROWS // WINDOW_CALLS, 1), 1.0 if turn == 3 else -5.0))
        if layers.end_window():
            seen.append(next(signal for signal in layers.signals() if signal.kind == "relu"))
    assert [signal.dead for signal in seen] == [0.0, 1.0]
    assert seen[1].dead_at_first == 0.0


def test_the_smallest_share_of_saturated_values_counts() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    layers = Layers(model)
    shares = []
    for size in (1e3, 1e-3, 1e3):
        call(layers, model, size * torch.randn(64, 8))
        shares.append(next(signal.saturated for signal in layers.signals() if signal.kind == "tanh"))
    assert shares[0] > 0.9
    assert shares[1:] == [0.0, 0.0]


def test_growth_is_that_of_the_outputs_of_layers_with_weights() -> None:
    model = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(3)])
    for layer in model:
        nn.init.normal_(layer.weight, std=10 / 8)  # ten times in each layer
    layers = Layers(model)
    call(layers, model, torch.randn(256, 64))
    assert layers.growth() == pytest.approx(100, rel=0.2)
    assert Layers(nn.Sequential(*model, nn.LayerNorm(64))).growth() == 1.0


def test_what_learns_nothing_is_not_looked_at_but_where_all_is_wanted() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4)).requires_grad_(False)
    layers = Layers(model, with_ranges=True)
    call(layers, model, torch.randn(4, 2))
    assert [signal.kind for signal in layers.signals()] == ["weights", "weights"]
    with layers.watching():
        model(torch.randn(4, 2))
    assert "relu" in [signal.kind for signal in layers.signals()]


def test_all_is_put_back_after_a_call_and_after_one_that_raises() -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("mine")

    before = everything_replaced()
    for model in (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.ReLU(), Failing())):
        layers = Layers(model)
        try:
            call(layers, model, torch.randn(2, 2))
        except ValueError:
            assert isinstance(model[1], Failing)
        assert everything_replaced() == before


def test_calls_in_another_thread_are_nobodys_business() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    layers = Layers(model)
    layers.begin(run_directly)
    other = threading.Thread(target=model, args=(torch.randn(4, 2),))
    other.start()
    other.join()
    layers.end()
    assert list(layers.signals()) == []


def test_outputs_that_are_no_plain_numbers_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    layers = Layers(model)
    layers.begin(run_directly)
    torch.vmap(model)(torch.randn(4, 3, 2))
    F.relu(torch.arange(3))
    layers.end()
    assert [signal.kind for signal in layers.signals()] == []


def test_whether_something_is_compiled_is_known_by_its_backend() -> None:
    torch._dynamo.reset()
    assert not something_is_compiled()
    compiled = torch.compile(lambda x: x + 1, backend="eager")
    assert something_is_compiled()
    assert compiled(torch.zeros(1)).item() == 1
    torch._dynamo.reset()
