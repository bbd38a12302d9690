"""The planned learning rate is the one that is then used; each schedule has the shape that its source gives."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config.records import (
    CyclicSchedule,
    DecliningSchedule,
    ExponentialSchedule,
    OneCycleSchedule,
    OwnSchedule,
    PlateauSchedule,
    ScheduleSection,
    SgdrSchedule,
    StepSchedule,
    TrainSection,
)
from sgdb_engine.errors import TargetError
from sgdb_engine.workload.schedules import Schedule, misfits, planned_lr, planned_steps

HERE = Path(__file__).parent
WARMUP = st.integers(0, 50)
SCHEDULES = st.one_of(
    st.builds(ScheduleSection, name=st.just("constant"), warmup_steps=WARMUP),
    st.builds(
        DecliningSchedule,
        name=st.sampled_from(["cosine", "linear"]),
        warmup_steps=WARMUP,
        final_fraction=st.floats(0, 1),
    ),
    st.builds(
        ExponentialSchedule,
        name=st.just("exponential"),
        warmup_steps=WARMUP,
        final_fraction=st.floats(0.01, 1),
    ),
    st.builds(
        StepSchedule,
        name=st.just("step"),
        warmup_steps=WARMUP,
        every=st.integers(1, 50),
        factor=st.floats(0.1, 1),
    ),
    st.builds(CyclicSchedule, name=st.just("cyclic"), warmup_steps=WARMUP, period=st.integers(1, 80)),
    st.builds(OneCycleSchedule, name=st.just("one_cycle"), warmup_steps=WARMUP, rise=st.floats(0.05, 0.95)),
    st.builds(
        SgdrSchedule,
        name=st.just("sgdr"),
        warmup_steps=WARMUP,
        period=st.integers(1, 80),
        growth=st.floats(1, 3),
    ),
)


def made(section: ScheduleSection, lr: float, total_steps: int) -> tuple[torch.optim.Optimizer, Schedule]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    return optimizer, Schedule(section, optimizer, total_steps, HERE)


def used_lr(section: ScheduleSection, lr: float, total_steps: int) -> list[float]:
    """The learning rate of each step, as an optimizer sees it."""
    optimizer, schedule = made(section, lr, total_steps)
    used = []
    for _ in range(total_steps):
        used.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return used


@given(SCHEDULES, st.integers(1, 700))
def test_the_plan_is_what_the_optimizer_gets(section: ScheduleSection, total_steps: int) -> None:
    plan = planned_lr(section, 0.3, total_steps, HERE)
    used = used_lr(section, 0.3, total_steps)
    assert [lr for _, lr in plan] == pytest.approx([used[step - 1] for step, _ in plan])
    assert all(0 <= lr <= 0.3 * (1 + 1e-9) for lr in used)


@given(SCHEDULES, st.integers(1, 10_000_000))
def test_the_plan_is_short_and_spans_the_run(section: ScheduleSection, total_steps: int) -> None:
    steps = [step for step, _ in planned_lr(section, 0.3, total_steps, HERE)]
    assert len(steps) <= 300
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, total_steps)


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    used = used_lr(ScheduleSection(name="constant", warmup_steps=4), 1.0, 6)
    assert used == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_what_declines_falls_to_its_final_fraction(name: str) -> None:
    used = used_lr(DecliningSchedule(name=name, final_fraction=0.1), 1.0, 1001)
    assert used[0] == 1
    assert used == sorted(used, reverse=True)
    assert used[-1] == pytest.approx(0.1, abs=1e-3)
    assert used[500] == pytest.approx(0.55, abs=2e-3)  # both are half-way down in the middle


def test_exponential_loses_the_same_share_in_each_step() -> None:
    used = used_lr(ExponentialSchedule(name="exponential", final_fraction=0.01), 1.0, 100)
    ratios = [after / before for before, after in pairwise(used)]
    assert ratios == pytest.approx([0.01 ** (1 / 100)] * 99)


def test_step_drops_by_its_factor() -> None:
    used = used_lr(StepSchedule(name="step", every=2, factor=0.5), 1.0, 6)
    assert used == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])


def test_cyclic_is_a_triangle_between_its_valleys_and_the_rate() -> None:
    used = used_lr(CyclicSchedule(name="cyclic", period=4, low_fraction=0.2), 1.0, 9)
    assert used == pytest.approx([0.2, 0.6, 1, 0.6, 0.2, 0.6, 1, 0.6, 0.2])


def test_one_cycle_goes_up_to_the_rate_and_down_below_its_start() -> None:
    used = used_lr(OneCycleSchedule(name="one_cycle", rise=0.25, start_fraction=0.1), 1.0, 400)
    assert used[0] == pytest.approx(0.1)
    assert used.index(max(used)) == 100
    assert used[100] == 1
    assert used[-1] < 1e-4


def test_sgdr_restarts_at_the_full_rate_after_periods_that_grow() -> None:
    used = used_lr(SgdrSchedule(name="sgdr", period=10, growth=2), 1.0, 75)
    assert [step for step, lr in enumerate(used) if lr == 1] == [0, 10, 30, 70]
    torch_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    twin = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(torch_optimizer, T_0=10, T_mult=2)
    expected = []
    for _ in range(75):
        expected.append(float(torch_optimizer.param_groups[0]["lr"]))
        torch_optimizer.step()
        twin.step()
    assert used == pytest.approx(expected)


def test_a_plateau_drops_when_the_validation_no_longer_improves() -> None:
    optimizer, schedule = made(PlateauSchedule(name="plateau", patience=1, factor=0.5), 1.0, 100)
    rates = []
    for loss in (1.0, 0.9, 0.95, 0.91, 0.8, 0.85, math.nan):
        schedule.validated(loss)
        optimizer.step()
        schedule.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_what_a_plateau_has_seen_goes_on_from_a_checkpoint() -> None:
    section = PlateauSchedule(name="plateau", patience=1)
    _, first = made(section, 1.0, 100)
    for loss in (1.0, 2.0):
        first.validated(loss)
    optimizer, second = made(section, 1.0, 100)
    second.load_state_dict(first.state_dict())
    assert second.validated(2.0)
    optimizer.step()
    second.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def own(tmp_path: Path, body: str) -> Any:
    name = f"own_schedule_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def rate(step, total_steps, top=1.0):\n    return {body}\n")
    return OwnSchedule(use=f"{name}:rate", arguments={"top": 0.5})


def test_a_schedule_of_ones_own_is_a_function_of_the_step(tmp_path: Path) -> None:
    section = own(tmp_path, "top * (1 - step / total_steps)")
    assert planned_lr(section, 2.0, 4, tmp_path) == [(1, 1.0), (2, 0.75), (3, 0.5), (4, 0.25)]


def test_a_schedule_of_ones_own_must_give_a_number(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"gave -1.* for step 0 of 4; it must give a number of at least 0"):
        planned_lr(own(tmp_path, "-1.0"), 2.0, 4, tmp_path)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (ScheduleSection(warmup_steps=10), "is as long as the whole run of 10 steps"),
        (StepSchedule(name="step", every=10), "never drops"),
        (CyclicSchedule(name="cyclic", period=11), "less than one cycle"),
        (SgdrSchedule(name="sgdr", period=10), "there is no restart"),
    ],
)
def test_a_schedule_that_does_not_fit_the_steps_is_told(section: ScheduleSection, told: str) -> None:
    assert told in " ".join(misfits(section, 1.0, 10))
    assert misfits(section, 1.0, 1000) == []


def test_an_incomplete_group_of_batches_is_a_step_of_its_own() -> None:
    assert planned_steps(TrainSection(epochs=3, accumulate=4), batches_per_epoch=10) == 9
    assert planned_steps(TrainSection(steps=7, accumulate=4), batches_per_epoch=10) == 7
