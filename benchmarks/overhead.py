"""What observing costs: the same training bare and observed, in turns, in one process.

    python benchmarks/overhead.py [--budget 0.02] [--blocks 30] [--only mlp] [--findings]

Prints, for each workload, observed/bare as the median over pairs of neighbouring blocks: of the wall time, and of the
training thread's CPU time. The bare loop is measured against itself in the same way (A/A): what differs from 1 there
is the noise of the machine. The first steps, which are looked at whole, are made before a block; what they take
altogether, once a run, stands in its own column.

With --findings: observed with findings / observed without, in the same way.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from workloads import WORKLOADS, Training, Workload

from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.observer import Observer
from sgdb_engine.recording.writer import Recorder

WARM_STEPS = 30
"""Looked at whole, once a run."""


@contextlib.contextmanager
def recorder() -> Iterator[Recorder]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        opened = Recorder(Path(folder))
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def without_findings(record: Recorder, budget: float) -> Iterator[Observer]:
    """Observed, but nothing is looked for."""
    with observe(record, budget=budget, seen_whole=0) as observer:
        observer.rows.following = None
        yield observer


def compare(workload: Workload, blocks: int, budget: float) -> dict[str, float]:
    """Median ratios with/without findings and without/without."""
    training = Training(workload)
    ratios: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    steps_s: list[float] = []
    with recorder() as record:
        training.timed_block(workload.block_steps)
        for _ in range(blocks):
            blocks_s = []
            for kind in (without_findings, observe, without_findings):
                with kind(record, budget=budget):
                    training.timed_block(WARM_STEPS)
                    blocks_s.append(training.timed_block(workload.block_steps))
            before, seen, after = blocks_s
            ratios.append(ratio(seen, before, after))
            again.append((after[0] / before[0], after[1] / before[1]))
            steps_s += [before[0], after[0]]
    return {
        "step_ms": statistics.median(steps_s) * 1e3,
        "wall": statistics.median(wall for wall, _ in ratios),
        "cpu": statistics.median(cpu for _, cpu in ratios),
        "a/a wall": statistics.median(wall for wall, _ in again),
    }


def measure(workload: Workload, blocks: int, budget: float) -> dict[str, float]:
    """Median ratios observed/bare and bare/bare, the bare step, and what sgdb itself says that it takes."""
    training = Training(workload)
    started: list[float] = []
    observed: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    bare_s: list[float] = []
    own_share = 0.0
    with recorder() as record:
        training.timed_block(workload.block_steps)
        for _ in range(blocks):
            bare = training.timed_block(workload.block_steps)
            with observe(record, budget=budget) as observer:
                first = training.timed_block(WARM_STEPS)
                started.append((first[0] - bare[0]) * WARM_STEPS)
                seen = training.timed_block(workload.block_steps)
                own_share = observer.budget.own_share
            bare_too = training.timed_block(workload.block_steps)
            bare_s += [bare[0], bare_too[0]]
            observed.append(ratio(seen, bare, bare_too))
            again.append((bare_too[0] / bare[0], bare_too[1] / bare[1]))
    return {
        "step_ms": statistics.median(bare_s) * 1e3,
        "wall": statistics.median(wall for wall, _ in observed),
        "cpu": statistics.median(cpu for _, cpu in observed),
        "a/a wall": statistics.median(wall for wall, _ in again),
        "own share": own_share,
        "start_ms": statistics.median(started) * 1e3,
    }


def ratio(
    seen: tuple[float, float], before: tuple[float, float], after: tuple[float, float]
) -> tuple[float, float]:
    """Observed against the mean of the bare blocks on both sides, so that a drift of the machine cancels."""
    return 2 * seen[0] / (before[0] + after[0]), 2 * seen[1] / (before[1] + after[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=0.02)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--findings", action="store_true")
    parser.add_argument("--only", choices=[workload.name for workload in WORKLOADS])
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, one thread, budget {options.budget:g}, {options.blocks} pairs of blocks"
    )
    print(
        f"{'workload':<17}{'bare step':>11}{'wall':>8}{'cpu':>8}{'a/a wall':>10}"
        + ("" if options.findings else f"{'says':>8}{'first steps':>14}")
    )
    for workload in WORKLOADS:
        if options.only in (None, workload.name):
            look = compare if options.findings else measure
            found = look(workload, options.blocks, options.budget)
            line = f"{workload.name:<17}{found['step_ms']:>8.2f} ms{found['wall']:>8.3f}{found['cpu']:>8.3f}"
            line += f"{found['a/a wall']:>10.3f}"
            if not options.findings:
                line += f"{found['own share']:>8.1%}{found['start_ms']:>11.1f} ms"
            print(line, flush=True)


if __name__ == "__main__":
    main()
