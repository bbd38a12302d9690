"""Each sample config shows what its comment says."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sgdb_engine.config import COMMENTED_CONFIG, RunConfig, load_config, parse_config
from sgdb_engine.errors import DataError
from sgdb_engine.workload import Workload, build, planned_steps

FOLDER = Path(__file__).parent.parent / "sample_configs"
SAMPLES = sorted(path.stem for path in FOLDER.glob("*.toml"))
MEMORY = "digits_random_labels"
SANE = [name for name in SAMPLES if not name.startswith(("broken", "cifar10"))]


def sample(name: str, *overrides: str) -> tuple[RunConfig, Workload]:
    config = load_config(FOLDER / f"{name}.toml", [*overrides, "run.device=cpu"])
    return config, build(config, FOLDER)


def cifar10(folder: Path) -> tuple[RunConfig, Workload]:
    """The sample with a small file of that format: two classes, told apart by their colour."""
    generator = torch.Generator().manual_seed(0)
    place = folder / "cifar-10-batches-bin"
    place.mkdir()
    content = b""
    for number in range(64):
        label = number % 2
        pixels = torch.randint(0, 128, (3, 1024), generator=generator, dtype=torch.uint8)
        pixels[label] += 100
        content += bytes((label,)) + pixels.numpy().tobytes()
    (place / "data_batch_1.bin").write_bytes(content)
    overrides = ["run.device=cpu", "train.batch_size=16", "model.width=4", "train.epochs=2"]
    config = load_config(FOLDER / "cifar10_cnn.toml", overrides)
    return config, build(config, folder)


def train(config: RunConfig, workload: Workload, num_steps: int | None = None) -> list[float]:
    """A plain training loop: the loss of each step."""
    total = num_steps or planned_steps(config.train, len(workload.train))  # type: ignore[arg-type]
    losses: list[float] = []
    assert workload.loss is not None
    assert workload.schedule is not None
    workload.model.train()
    while len(losses) < total:
        for x, y in workload.train:
            loss = workload.loss(workload.model(x), y)
            workload.optimizer.zero_grad()
            loss.backward()
            if config.train.clip_norm:
                torch.nn.utils.clip_grad_norm_(workload.model.parameters(), config.train.clip_norm)
            workload.optimizer.step()
            workload.schedule.step()
            losses.append(loss.item())
            if len(losses) == total:
                break
    return losses


@torch.no_grad()
def validate(workload: Workload) -> tuple[float, float]:
    """Mean loss and accuracy (NaN for a regression) over all held-out examples, or the training ones."""
    sums, count = [0.0, 0.0], 0
    accuracy = workload.metrics.get("accuracy", lambda *_: torch.tensor(math.nan))
    assert workload.loss is not None
    workload.model.eval()
    for x, y in workload.val or workload.train:
        output = workload.model(x)
        sums[0] += len(x) * workload.loss(output, y).item()
        sums[1] += len(x) * accuracy(output, y).item()
        count += len(x)
    return sums[0] / count, sums[1] / count


def unigram_entropy(tokens: torch.Tensor) -> float:
    """The loss of guessing each character by its frequency alone, in nats."""
    share = tokens.flatten().bincount().double()
    share = share[share > 0] / share.sum()
    return float(-(share * share.log()).sum())


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "cifar10_cnn"])
def test_a_sample_says_what_it_shows_and_trains_three_steps(name: str) -> None:
    assert (FOLDER / f"{name}.toml").read_text().startswith("# ")
    losses = train(*sample(name), num_steps=3)
    assert math.isfinite(losses[0])


def test_cifar10_trains_on_its_binary_files(tmp_path: Path) -> None:
    assert len(train(*cifar10(tmp_path), num_steps=8)) == 8


def test_cifar10_says_where_its_files_belong() -> None:
    with pytest.raises(
        DataError, match=r"data\.path = \"cifar-10-batches-bin\": there is no .*sample_configs"
    ):
        sample("cifar10_cnn")


def test_the_commented_config_trains_three_steps(tmp_path: Path) -> None:
    config = parse_config(COMMENTED_CONFIG, origin="run.toml")
    assert len(train(config, build(config, tmp_path), num_steps=3)) == 3


def test_the_five_points_are_learnt_completely() -> None:
    config, workload = sample("five_points")
    assert train(config, workload)[-1] < 1e-3
    assert validate(workload)[1] == 1.0


def test_wine_is_told_apart() -> None:
    config, workload = sample("wine_mlp")
    train(config, workload)
    assert validate(workload)[1] > 0.94


def test_the_regression_beats_guessing_the_mean() -> None:
    config, workload = sample("diabetes_regression")
    train(config, workload)
    assert validate(workload)[0] < 0.65


def test_a_learning_rate_too_high_goes_up_and_stays_up() -> None:
    losses = train(*sample("broken_lr_too_high"))
    assert max(losses) > 10 * losses[0]
    assert min(losses[-20:]) > 1.5


def test_raw_pixels_diverge_and_normalised_ones_do_not() -> None:
    assert math.isnan(train(*sample("broken_inputs_not_normalised"))[-1])
    config, workload = sample("broken_inputs_not_normalised", "data.normalise=true")
    train(config, workload)
    assert validate(workload)[1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn"])
def test_digits_are_read_with_97_percent(name: str) -> None:
    config, workload = sample(name)
    train(config, workload)
    assert validate(workload)[1] >= 0.97


@pytest.mark.slow
def test_with_random_labels_the_training_loss_reaches_zero_too_and_the_validation_stays_at_chance() -> None:
    """Zhang et al. 2017."""
    results = {}
    for name in ("digits_true_labels", MEMORY):
        config, workload = sample(name)
        losses = train(config, workload)
        results[name] = sum(losses[-45:]) / 45, validate(workload)[1]
    assert results["digits_true_labels"][0] < 0.05
    assert results["digits_true_labels"][1] > 0.95
    assert results[MEMORY][0] < 0.05
    assert results[MEMORY][1] < 0.2  # chance is 0.1


@pytest.mark.slow
def test_gradient_descent_on_the_whole_database_learns_too() -> None:
    config, workload = sample("digits_gradient_descent")
    losses = train(config, workload)
    assert losses[-1] < 0.02
    assert validate(workload)[1] > 0.93


@pytest.mark.slow
def test_one_network_learns_two_tasks() -> None:
    config, workload = sample("placed_digits")
    losses = train(config, workload)
    assert losses[-1] < 0.1
    assert validate(workload)[1] > 0.75


@pytest.mark.slow
def test_the_transformer_learns_from_context() -> None:
    config, workload = sample("char_transformer")
    train(config, workload)
    tokens = torch.cat([x for x, _ in workload.train])
    assert validate(workload)[0] < 0.6 * unigram_entropy(tokens)


@pytest.mark.slow
@pytest.mark.parametrize("name", SANE)
def test_one_minibatch_can_be_overfitted_within_the_budget_of_the_check(name: str) -> None:
    config, workload = sample(name, 'schedule={name = "constant"}')
    one_batch = replace(workload, train=[next(iter(workload.train))])
    losses = train(config, one_batch, num_steps=config.check.overfit.steps)
    assert min(losses[-20:]) < 0.1 * losses[0]
