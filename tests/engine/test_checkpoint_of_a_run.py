"""A checkpoint that a command saved is one from which the run can go on, bit for bit."""

from pathlib import Path

import torch

from sgdb_engine.checkpoint import load_checkpoint, restore
from sgdb_engine.config import RunConfig, load_config
from sgdb_engine.loop import update
from sgdb_engine.noise_scale import NoiseScale
from sgdb_engine.session import Engine
from sgdb_engine.snapshot import loader_generators
from sgdb_engine.training import training_of
from sgdb_engine.workload import Workload, build

ROOT = Path(__file__).parents[2]
STEPS = 40


class NotObserved:
    """In place of an observer."""

    step = 0

    def log(self, values: object) -> None:
        """Nothing is kept."""


def config() -> RunConfig:
    overrides = ["train.batch_size=full", f"train.epochs={STEPS}", "model.dropout=0.2"]
    return load_config(ROOT / "sample_configs" / "wine_mlp.toml", overrides)


def take_up(path: Path, workload: Workload) -> int:
    """Puts a workload where the checkpoint was taken, and makes the update that was about to be made."""
    checkpoint = load_checkpoint(path)
    assert restore(checkpoint.state, workload.model, workload.optimizer, workload.schedule) == ()
    for name, parameter in workload.model.named_parameters():
        parameter.grad = checkpoint.state["gradients"][name].clone()
    workload.optimizer.step()
    assert workload.schedule is not None
    workload.schedule.step()
    workload.optimizer.zero_grad()
    for generator, state in zip(loader_generators(workload.train), checkpoint.state["order"], strict=True):
        generator.set_state(state)
    assert len(list(workload.train)) == 1  # the batch of the step that has just been completed
    return int(checkpoint.step) + 1


def test_a_run_taken_up_from_its_checkpoint_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    engine = Engine(whole, training_of(config(), ROOT))
    paused = engine.pause()
    engine.start()
    paused.result(30)
    engine.do_step(7).result(30)
    saved = engine.checkpoint().result(30)
    assert saved.ok, saved.message
    engine.resume().result(30)
    engine.stop(checkpoint=True).result(30)
    engine.wait(30)
    last = load_checkpoint(whole / "checkpoints")
    first = next(path for path in (whole / "checkpoints").iterdir() if path.name.startswith(saved.message))

    only_first = tmp_path / "first"
    only_first.mkdir()
    first.rename(only_first / first.name)
    workload = build(config(), ROOT)
    step = take_up(only_first, workload)
    workload.model.train()
    while step < last.step:
        update(workload, config().train, [next(iter(workload.train))], NotObserved(), NoiseScale())  # type: ignore[arg-type]
        step += 1
    expected = last.state["model"]
    assert last.step > saved.step
    for name, value in workload.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
