"""Small trainings with one fault each, observed whole: exactly that is told, and where."""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from .trainings import STEPS, adam, batches, findings_of, line_of, net, rows


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def no_step() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # here


def opt_wrong_model() -> None:
    model, other = net(), net()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)  # here
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def nothing_trains() -> None:
    model = net().requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # here
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x) + 0 * x[:, :3].requires_grad_(), y).backward()
        optimizer.step()


def param_not_in_opt() -> None:
    model = net()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)  # here
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def frozen_in_opt() -> None:
    model = net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # here
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def no_zero_grad() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        F.cross_entropy(model(x), y).backward()  # here
        optimizer.step()


def eval_in_train() -> None:
    model = net(nn.Dropout(0.2)).eval()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        scores = model(x)  # here
        F.cross_entropy(scores, y).backward()
        optimizer.step()


def train_in_val() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = adam(model)
    for step, (x, y) in enumerate(batches(), 1):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                for some, classes in batches(3):
                    F.cross_entropy(model(some), classes)


def step_order() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.step()


def bn_small_batch() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = adam(model, lr=1e-4)
    for x, y in batches(size=7):
        optimizer.zero_grad()
        scores = model(x)  # here
        F.cross_entropy(scores, y).backward()
        optimizer.step()


def dropout_high() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.9), nn.Linear(16, 3))
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def softmax_before_ce() -> None:
    model = net(nn.Softmax(1))
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # here
        optimizer.step()


def sigmoid_before_bcel() -> None:
    model, criterion = net(nn.Sigmoid(), outputs=1), nn.BCEWithLogitsLoss()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        loss = criterion(model(x)[:, 0], (y == 0).float())  # here
        loss.backward()
        optimizer.step()


def probs_to_nll() -> None:
    model = net(nn.Softmax(1))
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.nll_loss(model(x), y).backward()  # here
        optimizer.step()


def nll_on_logits() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.nll_loss(model(x), y).backward()  # here
        optimizer.step()


def broadcast() -> None:
    model = net(outputs=1)
    optimizer = adam(model)
    for x, _ in batches():
        optimizer.zero_grad()
        F.mse_loss(model(x), x[:, 0]).backward()  # here
        optimizer.step()


def target_range() -> None:
    model = net(nn.Flatten(0), outputs=1)
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(x), 1.0 + (y == 0)).backward()  # here
        optimizer.step()


def unused_output() -> None:
    model = net(outputs=100)
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # here
        optimizer.step()


def output_act() -> None:
    model = net(nn.ReLU(), outputs=1)
    optimizer = adam(model)
    for x, _ in batches():
        optimizer.zero_grad()
        F.mse_loss(model(x)[:, 0], x[:, 0]).backward()  # here
        optimizer.step()


def sign_flipped() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        loss = -F.cross_entropy(model(x), y)
        loss.backward()  # here
        optimizer.step()


def sum_reduction() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y, reduction="sum").backward()  # here
        optimizer.step()


def loss_term_dominates() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        penalty = 100 * sum(p.square().sum() for p in model.parameters())
        loss = F.cross_entropy(model(x), y) + penalty
        loss.backward()  # here
        optimizer.step()


def target_not_shifted() -> None:
    model = nn.Sequential(nn.Embedding(40, 16), nn.Linear(16, 40))
    optimizer = adam(model)
    for _ in range(STEPS):
        text = torch.randint(40, (16, 12))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(text).flatten(0, 1), text.flatten())  # here
        loss.backward()
        optimizer.step()


def same_batch() -> None:
    x, y = rows()
    loader = DataLoader(TensorDataset(x, y), batch_size=32)
    model = net()
    optimizer = adam(model)
    for _ in range(STEPS):
        some, classes = next(iter(loader))
        optimizer.zero_grad()
        scores = model(some)  # here
        F.cross_entropy(scores, classes).backward()
        optimizer.step()


def not_shuffled() -> None:
    x, y = rows(STEPS * 32)
    order = y.argsort()
    loader = DataLoader(TensorDataset(x[order], y[order]), batch_size=32)
    model = net()
    optimizer = adam(model, lr=1e-5)
    for some, classes in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(some), classes).backward()
        optimizer.step()


def input_scale() -> None:
    model = net()
    optimizer = adam(model, lr=1e-5)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(60 * x + 128), y).backward()
        optimizer.step()


def target_scale() -> None:
    model = net(outputs=1)
    optimizer = adam(model)
    for x, _ in batches():
        optimizer.zero_grad()
        F.mse_loss(model(x)[:, 0], 300 + 80 * x[:, 0]).backward()  # here
        optimizer.step()


WHERE: dict[Callable[[], None], tuple[str, ...]] = {
    opt_wrong_model: ("0", "2"),
    nothing_trains: ("0", "2"),
    param_not_in_opt: ("2",),
    frozen_in_opt: ("0",),
    bn_small_batch: ("1",),
    dropout_high: ("1",),
    softmax_before_ce: ("3",),
    sigmoid_before_bcel: ("3",),
    probs_to_nll: ("3",),
    output_act: ("3",),
}
FAULTS = (
    no_step,
    opt_wrong_model,
    nothing_trains,
    param_not_in_opt,
    frozen_in_opt,
    no_zero_grad,
    eval_in_train,
    train_in_val,
    bn_small_batch,
    dropout_high,
    softmax_before_ce,
    sigmoid_before_bcel,
    probs_to_nll,
    nll_on_logits,
    broadcast,
    target_range,
    unused_output,
    output_act,
    sign_flipped,
    sum_reduction,
    loss_term_dominates,
    target_not_shifted,
    same_batch,
    not_shuffled,
    input_scale,
    target_scale,
    step_order,
)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("training", FAULTS, ids=lambda each: each.__name__)
def test_a_fault_is_told_and_nothing_else_and_where(training: Callable[[], None]) -> None:
    found = findings_of(training)
    assert [f.code for f in found if not f.cause] == [training.__name__.replace("_", "-")]
    (one,) = [f for f in found if not f.cause]
    assert one.state == "confirmed"
    if "# here\n" in inspect.getsource(training):
        assert one.location == line_of(training, "here")
    assert set(one.where) >= set(WHERE.get(training, ()))


@pytest.mark.parametrize("training", [no_zero_grad, softmax_before_ce, opt_wrong_model])
def test_what_is_exact_is_told_within_the_first_steps(training: Callable[[], None]) -> None:
    assert findings_of(training)[0].step <= 4
