"""A config becomes model, optimizer, batches and loss: the same ones each time."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdb_engine.config.records import DATASETS as DATA_RECORDS
from sgdb_engine.config.records import MODELS as MODEL_RECORDS
from sgdb_engine.config.records import OPTIMIZERS as OPTIMIZER_RECORDS
from sgdb_engine.config.records import SCHEDULES as SCHEDULE_RECORDS
from sgdb_engine.errors import ConfigError, DataError, TargetError
from sgdb_engine.workload import Workload, choose_device
from sgdb_engine.workload.datasets import DATASETS
from sgdb_engine.workload.models import MODELS
from sgdb_engine.workload.optimizers import OPTIMIZERS
from sgdb_engine.workload.schedules import SCHEDULES

DIGITS = 'data={name = "digits"}'


@pytest.mark.parametrize(
    ("records", "builders"),
    [
        (DATA_RECORDS, DATASETS),
        (MODEL_RECORDS, MODELS),
        (OPTIMIZER_RECORDS, OPTIMIZERS),
        (SCHEDULE_RECORDS, SCHEDULES),
    ],
)
def test_what_a_config_accepts_can_be_built(records: dict[str, Any], builders: dict[str, Any]) -> None:
    assert set(records) == set(builders)


def test_batches_are_pairs_of_tensors_and_the_last_one_is_kept(built: Any) -> None:
    batches = list(built().train)
    assert [(tuple(x.shape), tuple(y.shape)) for x, y in batches] == [((4, 2), (4,)), ((1, 2), (1,))]
    assert all(isinstance(batch, tuple) for batch in batches)


def test_full_is_one_batch_of_all(built: Any) -> None:
    workload = built("train.batch_size=full")
    assert len(workload.train) == 1
    assert len(next(iter(workload.train))[0]) == 5


def test_each_epoch_has_another_order_and_all_examples(built: Any) -> None:
    workload = built("data={name = 'digits', validation = 0}", "train.batch_size=100")
    first, second = (torch.cat([x for x, _ in workload.train]) for _ in range(2))
    assert not torch.equal(first, second)
    assert sorted(first.flatten(1).tolist()) == sorted(second.flatten(1).tolist())


def test_the_same_seed_gives_the_same_weights_and_batches(built: Any) -> None:
    one, other = built("run.seed=3"), built("run.seed=3")
    assert all(
        torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True)
    )
    for _ in range(2):
        pairs = zip(one.train, other.train, strict=True)
        assert all(torch.equal(a, b) for mine, yours in pairs for a, b in zip(mine, yours, strict=True))


def test_another_seed_gives_other_weights(built: Any) -> None:
    one, other = (next(built(f"run.seed={seed}").model.parameters()) for seed in (1, 2))
    assert not torch.equal(one, other)


def test_loading_batches_draws_nothing_from_the_global_generators(built: Any) -> None:
    workload = built(DIGITS)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    for _ in range(2):
        assert list(workload.train)
        assert list(workload.val)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_the_initial_weights_do_not_depend_on_how_the_data_are_read(built: Any) -> None:
    split = built("data={name = 'digits', validation = 0.2}")
    whole = built("data={name = 'digits', validation = 0}")
    assert torch.equal(next(split.model.parameters()), next(whole.model.parameters()))


def test_the_model_is_in_training_mode_after_the_fit_was_tried(built: Any) -> None:
    workload = built(DIGITS, "model={name = 'cnn', dropout = 0.5}")
    assert all(module.training for module in workload.model.modules())
    assert int(workload.model.norms[0].num_batches_tracked) == 0


def test_the_schedule_spans_the_run(built: Any) -> None:
    workload = built('schedule={name = "cosine"}', "train={steps = 4, batch_size = 5}")
    for _ in range(4):
        workload.optimizer.step()
        workload.schedule.step()
    assert workload.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_nothing_is_held_out_where_validation_is_0(built: Any) -> None:
    assert built("data={name = 'wine', validation = 0}").val is None


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["loss.0.name=mse"], "the targets are classes"),
        (["data={name = 'diabetes'}"], "the targets are numbers"),
        (["loss.0.name=binary_cross_entropy"], "there are 3 classes"),
        (["model={name = 'cnn'}"], "takes images"),
        (["model={name = 'transformer'}"], "predicts the next token at each place"),
        (["data={name = 'text', context = 8, max_chars = 500}"], "these data are tokens"),
        (["data.validation=0.95"], "none left to train on"),
    ],
)
def test_what_does_not_fit_together_is_told(built: Any, overrides: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told):
        built(*overrides)


def test_losses_that_want_different_outputs_are_told(built: Any) -> None:
    with pytest.raises(ConfigError, match="cross_entropy and mse want different outputs"):
        built("loss=[{name = 'mse'}, {name = 'cross_entropy'}]")


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"run\.device = \"cuda:99\""):
        choose_device("cuda:99")


def test_auto_takes_cuda_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_workload_has_a_loss_or_a_step_and_not_both() -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(TargetError, match="either loss= or step="):
        Workload(model=model, optimizer=optimizer, train=[])


def test_building_leaves_no_file_behind(built: Any, tmp_path: Path) -> None:
    built(DIGITS)
    assert list(tmp_path.iterdir()) == []
