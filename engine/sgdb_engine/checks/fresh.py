"""An experiment in a process that begins the script anew: one that uses a GPU cannot be forked.

python -m sgdb_engine.checks.fresh NAME PIPE SCRATCH < order
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sgdb_engine.checks.child import Child, Outcome, become_silent, die_with_the_parent, hear
from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.ending import End
from sgdb_engine.launch import Order, RateRange
from sgdb_engine.session import Engine, Training


def begin_anew(
    order: Order, name: str, told: Callable[[str, Any], None], seconds: float, scratch: Path
) -> Outcome:
    """Runs an experiment by its name; returns what came back.

    Args:
        order: what is checked.
        name: of the experiment.
        told: called with each measurement as it comes.
        seconds: after which it is ended.
        scratch: folder below which it may write.

    Raises:
        OSError: no process can be started.
    """
    reading, writing = os.pipe()
    place = tempfile.mkdtemp(dir=scratch)
    process = subprocess.Popen(  # noqa: S603  (our own command line)
        [sys.executable, "-P", "-m", "sgdb_engine.checks.fresh", name, str(writing), place],
        stdin=subprocess.PIPE,
        pass_fds=(writing,),
        cwd=order.base if order.kind in ("script", "module") else None,
    )
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(order))
    process.stdin.close()
    outcome = hear(process.pid, reading, told, seconds)
    process.returncode = 0  # it was waited for
    return outcome


def main() -> None:
    """The process: runs the order up to its first update, and there the experiment begins."""
    name, pipe, place = sys.argv[1:]
    child = Child(int(pipe))
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        die_with_the_parent()
        become_silent()
        _run(child, name, order, Path(place))
    except BaseException as error:
        child.give_up(f"{type(error).__name__}: {error}")


def _run(child: Child, name: str, order: Order, place: Path) -> None:
    import torch  # noqa: F401  (before its functions that write are replaced)

    from sgdb_engine.checks.landlock import Net
    from sgdb_engine.checks.scratch import protect_files
    from sgdb_engine.orders import what_it_trains

    if protect_files(place) is not Net.CLOSED:
        child.tell("open", True)
    plan = what_it_trains(order)
    folder = place / "run"
    folder.mkdir()
    engine = Engine(folder, _experimenting(plan.training, name, child, plan.one_batch, order.rates))
    engine.probing = True
    engine.run()
    child.give_up("the script came to its end before its first update")


def _experimenting(
    training: Training, name: str, child: Child, budget: OverfitBudget, rates: RateRange
) -> Training:
    def run(engine: Engine) -> End | None:
        from sgdb_engine.checks.experiment import Experiment, setting_of
        from sgdb_engine.checks.experiments import EXPERIMENTS

        begun: list[Experiment] = []

        def safe_point(step: int) -> None:
            if begun:
                return
            assert engine.observer is not None
            setting = setting_of(engine, engine.observer, budget, rates)
            if setting is None:
                child.give_up("no model was seen that this training updates")
            begun.append(EXPERIMENTS[name](setting))
            engine.observer.leave()
            begun[0].begin(child)

        engine.safe_point = safe_point
        try:
            end = training(engine)
        except Exception as error:
            if begun:
                begun[0].script_ended(End("failed", 1, f"{type(error).__name__}: {error}"))
            raise
        if begun:
            begun[0].script_ended(end or End("finished", 0))
        return end

    return run


if __name__ == "__main__":
    main()
