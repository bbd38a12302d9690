"""An order → what the engine runs for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sgdb_engine.config import parse_config
from sgdb_engine.errors import SgdbError, TargetError
from sgdb_engine.launch import Order
from sgdb_engine.ranks.place import ALONE, own_place
from sgdb_engine.session import End, Engine, Training

USUAL_BUDGET = 0.02
"""Share of the step time that measurements may cost where no config says so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and how much observing it may cost."""

    training: Training
    budget: float = USUAL_BUDGET


def plan_of(order: Order) -> Plan:
    """What an order asks for.

    Raises:
        ConfigError: the config has mistakes.
        TargetError: it cannot be checked yet.
    """
    if order.kind == "config":
        return _config(order)
    if order.mode == "check":
        raise TargetError(f"{order.target}: this version checks configs only; write one with `sgdb init`")
    return Plan(_TRAININGS[order.kind](order))


def is_script(order: Order) -> bool:
    """Whether it needs the main thread: it may install signal handlers, and fork."""
    return order.kind in ("script", "module")


def _config(order: Order) -> Plan:
    config = parse_config(order.config_text, origin=order.target, overrides=order.overrides)
    if order.mode == "check":
        from sgdb_engine.checks.overfit import check_of

        training = check_of(config, Path(order.base))
    else:
        from sgdb_engine.training import training_of

        training = training_of(config, Path(order.base))
    return Plan(_naming(order.target, training), config.observe.budget)


def _script(order: Order) -> Training:
    from sgdb_engine.script import script_of

    return script_of(Path(order.base) / order.target, order.target, order.arguments, detached=order.detached)


def _module(order: Order) -> Training:
    from sgdb_engine.script import module_of

    return module_of(order.target, order.arguments, detached=order.detached)


def _factory(order: Order) -> Training:
    from sgdb_engine.training import training_of_factory

    return training_of_factory(order.target, Path(order.base))


_TRAININGS: dict[str, Callable[[Order], Training]] = {
    "script": _script,
    "module": _module,
    "factory": _factory,
}


def _naming(target: str, training: Training) -> Training:
    """The same; a mistake that shows only now, in the data or the model, is told with the config it is in."""

    def named(engine: Engine) -> End | None:
        try:
            return training(engine)
        except SgdbError as error:
            raise SgdbError(f"{target}: {error}") from error

    return named


AnEngine = TypeVar("AnEngine", bound=Engine)


def engine_for(order: Order, kind: type[AnEngine]) -> AnEngine:
    """The engine that an order asks for. Raises as above."""
    plan = plan_of(order)
    return kind(
        Path(order.folder),
        plan.training,
        budget=plan.budget,
        max_steps=order.max_steps,
        place=own_place() if is_script(order) else ALONE,
    )
