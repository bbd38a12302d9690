"""An order → what the engine runs for it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sgdb_engine.config import parse_config
from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.control import Stop
from sgdb_engine.ending import End
from sgdb_engine.errors import SgdbError
from sgdb_engine.events import Finding
from sgdb_engine.launch import SCRIPTS, Order
from sgdb_engine.ranks.place import ALONE, own_place
from sgdb_engine.session import Engine, Training

USUAL_BUDGET = 0.02
"""Share of the step time that measurements may cost where no config says so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and how much observing it may cost."""

    training: Training
    budget: float = USUAL_BUDGET
    one_batch: OverfitBudget = field(default_factory=OverfitBudget)
    """What a check may spend on the user's own steps."""


def plan_of(order: Order) -> Plan:
    """What an order asks for.

    Raises:
        ConfigError: the config has mistakes.
    """
    plan = what_it_trains(order)
    if order.mode != "run":
        from sgdb_engine.checks.checking import checked

        return replace(plan, training=checked(plan.training, order, plan.one_batch))
    return plan


def what_it_trains(order: Order) -> Plan:
    """The training itself, also where the order is to check it. Raises as above."""
    if order.kind == "config":
        return _config(order)
    return Plan(_TRAININGS[order.kind](order))


def is_script(order: Order) -> bool:
    """Whether it needs the main thread: it may install signal handlers, and fork."""
    return order.kind in SCRIPTS


def _config(order: Order) -> Plan:
    config = parse_config(order.config_text, origin=order.target, overrides=order.overrides)
    from sgdb_engine.training import training_of

    training = _naming(order.target, training_of(config, Path(order.base), for_check=order.mode != "run"))
    return Plan(training, config.observe.budget, config.check.overfit)


def _script(order: Order) -> Training:
    from sgdb_engine.script import script_of

    return script_of(Path(order.base) / order.target, order.target, order.arguments, detached=order.detached)


def _module(order: Order) -> Training:
    from sgdb_engine.script import module_of

    return module_of(order.target, order.arguments, detached=order.detached)


def _factory(order: Order) -> Training:
    from sgdb_engine.training import training_of_factory

    return training_of_factory(order.target, Path(order.base), for_check=order.mode != "run")


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
    engine = kind(
        Path(order.folder),
        plan.training,
        budget=plan.budget,
        max_steps=order.max_steps,
        place=own_place() if is_script(order) else ALONE,
    )
    engine.mute = frozenset(order.mute)
    if order.stop_on:
        engine.on_finding = _stopping(engine, order.stop_on)
    return engine


def _stopping(engine: Engine, codes: tuple[str, ...]) -> Callable[[Finding], None]:
    """Stops the engine at the first error of these codes; there is nothing in it worth a checkpoint."""

    def found(finding: Finding) -> None:
        if finding.code in codes and finding.severity == "error" and finding.state == "confirmed":
            engine.submit(Stop(checkpoint=False), f"finding {finding.code}")

    return found
