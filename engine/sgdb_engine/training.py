"""What the training thread does for a config, or for a function that returns a Workload: build, describe, train."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sgdb_engine.config import RunConfig
from sgdb_engine.config.records import TrainSection
from sgdb_engine.events import RunDescribed, TensorShape
from sgdb_engine.session import Engine, Training

if TYPE_CHECKING:
    import torch

    from sgdb_engine.workload import Workload


def endless(section: TrainSection) -> TrainSection:
    """The same without a planned end: experiments of a check go on as long as they need."""
    return msgspec.structs.replace(section, epochs=None, steps=None, early_stopping=None)


def training_of(config: RunConfig, base: Path, *, for_check: bool = False) -> Training:
    """The training that a config describes.

    Args:
        config: checked.
        base: the folder against which its paths and modules are resolved.
        for_check: it has no planned end.
    """

    def training(engine: Engine) -> None:
        # torch is imported here, in the training thread: until then the engine already answers
        from sgdb_engine.workload import build

        engine.doing = "building the data and the model"
        workload = build(config, base)
        section = endless(config.train) if for_check else config.train
        train(engine, section, workload, description_of(config, base, workload))

    return training


def training_of_factory(spec: str, base: Path, *, for_check: bool = False) -> Training:
    """The training of what a function of the user's returns.

    Args:
        spec: "package.module:function"; it is called as `function()`, or `function(seed=0)` where it takes one.
        base: the folder from which the module is imported.
        for_check: it has no planned end.
    """

    def training(engine: Engine) -> None:
        from sgdb_engine.workload.importing import made_workload

        engine.doing = f"calling {spec}"
        workload = made_workload(spec, base)
        section = TrainSection(epochs=workload.epochs)
        section = endless(section) if for_check else section
        train(engine, section, workload, description(workload, section))

    return training


def train(engine: Engine, section: TrainSection, workload: "Workload", described: RunDescribed) -> None:
    """Tells what a workload is and trains it, observed, with what belongs into its checkpoints said."""
    from sgdb_engine.checkpoint import capture
    from sgdb_engine.keeping import Keeping
    from sgdb_engine.loop import train_workload

    keeping = Keeping(engine, section, workload)
    engine.saving.put_result_back = keeping.put_result_back
    engine.describe(described)
    with engine.observing() as observer:
        order = order_of(workload)

        def epoch_ended(epoch: int) -> None:
            order[:] = order_of(workload)
            engine.epoch_ended(epoch)

        engine.checkpoint_with(
            lambda: {
                "step": observer.step,
                "epoch": engine.epoch,
                "order": list(order),
                "gradients": gradients_of(workload.model),
                **capture(workload.model, workload.optimizer, workload.schedule),
            },
            keep=section.checkpoint.keep if section.checkpoint else 3,
        )
        try:
            train_workload(
                workload,
                section,
                observer,
                epoch_ended=epoch_ended,
                validated=keeping.validated,
                enough=keeping.enough,
            )
        finally:
            keeping.tell_result()


def order_of(workload: "Workload") -> "list[torch.Tensor]":
    """The state of the generators that the next epoch's order of batches is drawn from."""
    from sgdb_engine.snapshot import loader_generators

    return [generator.get_state() for generator in loader_generators(workload.train)]


def gradients_of(model: "torch.nn.Module") -> dict[str, "torch.Tensor"]:
    """The gradients at the safe point.

    The step under way has drawn its batch and its random numbers already, so whoever
    goes on from a checkpoint applies these first, and is then where the run was."""
    return {name: p.grad.detach() for name, p in model.named_parameters() if p.grad is not None}


def description_of(config: RunConfig, base: Path, workload: "Workload") -> RunDescribed:
    """What a config trains, where, for how long."""
    from sgdb_engine.workload import misfits, planned_lr

    told = description(workload, config.train)
    steps = told.steps_planned or 0
    return msgspec.structs.replace(
        told,
        planned_lr=tuple(planned_lr(config.schedule, config.optimizer.lr, steps, base)),
        notes=(f"precision {config.train.precision}", *misfits(config.schedule, config.optimizer.lr, steps)),
    )


def description(workload: "Workload", section: TrainSection) -> RunDescribed:
    """What is trained, where, for how long."""
    from sgdb_engine.loop import plan

    planned = plan(workload, section)
    parameters = list(workload.model.named_parameters())
    return RunDescribed(
        device=str(parameters[0][1].device),
        steps_planned=planned.steps,
        epochs_planned=planned.epochs,
        steps_per_epoch=planned.steps_per_epoch,
        parameters=sum(p.numel() for _, p in parameters if p.requires_grad),
        tensors=tuple(
            TensorShape(name, tuple(p.shape), str(p.dtype).removeprefix("torch."), p.requires_grad)
            for name, p in parameters
        ),
    )
