"""Small healthy trainings of many styles, observed whole: nothing is told."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from .trainings import STEPS, adam, batches, findings_of, net, rows


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def a_classifier() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def modules_of_losses_and_zero_grad_at_the_end() -> None:
    model, criterion = net(), nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1.0, 5.0, 1.0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for x, y in batches():
        criterion(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=False)


def epochs_with_validation_dropout_and_batchnorm() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = rows()
    train = DataLoader(TensorDataset(x[:384], y[:384]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[384:], y[384:]), batch_size=64)
    for _ in range(4):
        model.train()
        for some, classes in train:
            optimizer.zero_grad()
            F.cross_entropy(model(some), classes).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for some, classes in val:
                F.cross_entropy(model(some), classes)


def a_regression() -> None:
    model = net(outputs=1)
    optimizer = adam(model)
    truth = torch.randn(8)
    for x, _ in batches():
        optimizer.zero_grad()
        F.mse_loss(model(x).squeeze(1), x @ truth / 3).backward()
        optimizer.step()


def an_output_that_is_bounded_like_its_targets() -> None:
    model = net(nn.Sigmoid(), outputs=8)
    optimizer = adam(model)
    for x, _ in batches():
        picture = x.sigmoid()
        optimizer.zero_grad()
        F.mse_loss(model(picture), picture).backward()
        optimizer.step()


def log_softmax_and_nll() -> None:
    model = net(nn.LogSoftmax(1))
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.nll_loss(model(x), y).backward()
        optimizer.step()


def bits() -> None:
    model = net(nn.Flatten(0), outputs=1)
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        F.binary_cross_entropy(model(x).sigmoid(), (y == 0).float()).backward()
        optimizer.step()


def accumulation(over: int = 4) -> None:
    model = net()
    optimizer = adam(model)
    for i, (x, y) in enumerate(batches(over * 8), 1):
        (F.cross_entropy(model(x), y) / over).backward()
        if i % over == 0:
            optimizer.step()
            optimizer.zero_grad()


def accumulation_over_many_batches() -> None:
    accumulation(32)


def closures() -> None:
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    for x, y in batches(10):

        def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)


def all_rows_in_each_step() -> None:
    model = net()
    optimizer = adam(model)
    x, y = rows()
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def all_rows_in_each_step_shuffled() -> None:
    model = net()
    optimizer = adam(model)
    x, y = rows()
    for _ in range(STEPS):
        order = torch.randperm(len(x))
        optimizer.zero_grad()
        F.cross_entropy(model(x[order]), y[order]).backward()
        optimizer.step()


def fine_tuning_of_a_head() -> None:
    body, head = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU()), nn.Linear(16, 3)
    model = nn.Sequential(body.requires_grad_(False), head)
    optimizer = adam(head)
    for x, y in batches():
        body.eval()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def a_text() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.memory = nn.Embedding(40, 16), nn.GRU(16, 16, batch_first=True)
            self.head = nn.Linear(16, 40)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.memory(self.embedding(tokens))[0])

    model = Model()
    optimizer = adam(model)
    for _ in range(STEPS):
        text = torch.randint(40, (16, 13))
        optimizer.zero_grad()
        F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].reshape(-1)).backward()
        optimizer.step()


def half_precision(growing: bool = False) -> None:
    model = net()
    optimizer, scaler = adam(model), torch.amp.GradScaler("cpu", init_scale=2.0**16)
    if growing:
        scale = functools.partial(overflowing, scaler)
        model[0].weight.register_hook(scale)
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def overflowing(scaler: Any, gradient: torch.Tensor) -> torch.Tensor:
    """As in float16, where the scale is too large at first."""
    return gradient * torch.inf if scaler.get_scale() > 2.0**13 else gradient


def half_precision_whose_first_steps_overflow() -> None:
    half_precision(growing=True)


def a_scaled_sum_that_is_divided_by_the_rows() -> None:
    model = net()
    optimizer, scaler = adam(model), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for x, y in batches():
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y, reduction="sum") / len(x)).backward()
        scaler.step(optimizer)
        scaler.update()


def a_sum_that_is_divided_by_the_rows() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y, reduction="sum") / len(x)).backward()
        optimizer.step()


def a_generator_and_its_critic() -> None:
    generator, critic = net(features=4, outputs=8), net(outputs=1)
    of_generator, of_critic = adam(generator, lr=2e-4), adam(critic, lr=2e-4)
    real, fake = torch.ones(32, 1), torch.zeros(32, 1)
    for x, _ in batches():
        made = generator(torch.randn(32, 4))
        of_critic.zero_grad()
        F.binary_cross_entropy_with_logits(critic(x), real).backward()
        F.binary_cross_entropy_with_logits(critic(made.detach()), fake).backward()
        of_critic.step()
        of_generator.zero_grad()
        F.binary_cross_entropy_with_logits(critic(made), real).backward()
        of_generator.step()


def two_optimizers_of_one_model() -> None:
    model = net()
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), adam(model[2])]
    for x, y in batches():
        for optimizer in optimizers:
            optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for optimizer in optimizers:
            optimizer.step()


def a_loss_seen_by_a_frozen_net() -> None:
    model, judge = net(outputs=8), nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU())
    judge.eval().requires_grad_(False)
    optimizer = adam(model)
    for x, _ in batches():
        optimizer.zero_grad()
        F.mse_loss(judge(model(x)), judge(x)).backward()
        optimizer.step()


def distillation() -> None:
    teacher, model = net().eval(), net(nn.Dropout(0.1))
    optimizer = adam(model)
    for x, y in batches():
        with torch.no_grad():
            wanted = teacher(x).softmax(1)
        optimizer.zero_grad()
        scores = model(x)
        (0.5 * F.cross_entropy(scores, wanted) + 0.5 * F.cross_entropy(scores, y)).backward()
        optimizer.step()


def labels_that_the_model_gives_itself() -> None:
    """From two views of the batch, without gradients, before each step."""
    model = net(nn.Dropout(0.1))
    optimizer = adam(model)
    for x, _ in batches():
        with torch.no_grad():
            wanted = (model(x) + model(x + 0.1 * torch.randn_like(x))).softmax(1)
        optimizer.zero_grad()
        F.cross_entropy(model(x), wanted).backward()
        optimizer.step()


def two_heads() -> None:
    body, heads = nn.Linear(8, 16), nn.ModuleList([nn.Linear(16, 3), nn.Linear(16, 6)])
    model = nn.ModuleList([body, heads])
    optimizer = adam(model)
    for step, (x, y) in enumerate(batches()):
        optimizer.zero_grad()
        seen = body(x).relu()
        (F.cross_entropy(heads[0](seen), y) + F.cross_entropy(heads[1](seen), y)).backward()
        optimizer.step()
        if step % 10 == 9:
            with torch.no_grad():
                for head in heads:
                    F.cross_entropy(head(body(x + 0.1).relu()), y)


def a_mask_on_most_targets() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        masked = torch.where(torch.rand(len(y)) < 0.8, -100, y)
        optimizer.zero_grad()
        F.cross_entropy(model(x), masked).backward()
        optimizer.step()


def a_loss_of_the_users_own() -> None:
    model = net()
    optimizer = adam(model)
    for x, y in batches():
        optimizer.zero_grad()
        (-model(x).log_softmax(1)[torch.arange(len(y)), y].mean()).backward()
        optimizer.step()


def an_objective_to_be_maximised() -> None:
    """Reinforcement: its sign says nothing, and no loss function is called."""
    model = net(nn.LogSoftmax(1))
    optimizer = adam(model, maximize=True)
    for x, y in batches():
        optimizer.zero_grad()
        (model(x)[torch.arange(len(y)), y] * torch.rand(len(y))).mean().backward()
        optimizer.step()


HEALTHY = (
    a_classifier,
    modules_of_losses_and_zero_grad_at_the_end,
    epochs_with_validation_dropout_and_batchnorm,
    a_regression,
    an_output_that_is_bounded_like_its_targets,
    log_softmax_and_nll,
    bits,
    accumulation,
    accumulation_over_many_batches,
    closures,
    all_rows_in_each_step,
    all_rows_in_each_step_shuffled,
    fine_tuning_of_a_head,
    a_text,
    half_precision,
    half_precision_whose_first_steps_overflow,
    a_sum_that_is_divided_by_the_rows,
    a_scaled_sum_that_is_divided_by_the_rows,
    a_generator_and_its_critic,
    two_optimizers_of_one_model,
    a_loss_seen_by_a_frozen_net,
    distillation,
    labels_that_the_model_gives_itself,
    two_heads,
    a_mask_on_most_targets,
    a_loss_of_the_users_own,
    an_objective_to_be_maximised,
)


@pytest.mark.parametrize("training", HEALTHY, ids=lambda each: each.__name__)
def test_a_healthy_training_is_told_nothing(training: Callable[[], None]) -> None:
    assert [(f.code, f.message) for f in findings_of(training)] == []


def test_a_training_that_is_observed_is_as_it_would_be() -> None:
    def weights(observed: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = net(nn.Dropout(0.2))
        optimizer = adam(model)

        def train() -> None:
            for x, y in itertools.islice(batches(), 10):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()

        findings_of(train) if observed else train()
        return [p.detach() for p in model.parameters()]

    assert all(map(torch.equal, weights(True), weights(False)))
