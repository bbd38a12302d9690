"""The planned learning rate is the one that is then used."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config.records import CosineSchedule, ScheduleSection, StepSchedule, TrainSection
from sgdb_engine.workload.schedules import build_schedule, planned_lr, planned_steps

SCHEDULES = st.one_of(
    st.builds(ScheduleSection, name=st.just("constant"), warmup_steps=st.integers(0, 50)),
    st.builds(
        CosineSchedule,
        name=st.just("cosine"),
        warmup_steps=st.integers(0, 50),
        final_fraction=st.floats(0, 1),
    ),
    st.builds(
        StepSchedule,
        name=st.just("step"),
        warmup_steps=st.integers(0, 50),
        every=st.integers(1, 50),
        factor=st.floats(0.1, 1),
    ),
)


def used_lr(section: ScheduleSection, lr: float, total_steps: int) -> list[float]:
    """The learning rate of each step, as an optimizer sees it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = build_schedule(section, optimizer, total_steps)
    used = []
    for _ in range(total_steps):
        used.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return used


@given(SCHEDULES, st.integers(1, 700))
def test_the_plan_is_what_the_optimizer_gets(section: ScheduleSection, total_steps: int) -> None:
    plan = planned_lr(section, 0.3, total_steps)
    used = used_lr(section, 0.3, total_steps)
    assert [lr for _, lr in plan] == pytest.approx([used[step - 1] for step, _ in plan])


@given(SCHEDULES, st.integers(1, 10_000_000))
def test_the_plan_is_short_and_spans_the_run(section: ScheduleSection, total_steps: int) -> None:
    steps = [step for step, _ in planned_lr(section, 0.3, total_steps)]
    assert len(steps) <= 300
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, total_steps)


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    used = used_lr(ScheduleSection(name="constant", warmup_steps=4), 1.0, 6)
    assert used == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_cosine_falls_to_its_final_fraction() -> None:
    used = used_lr(CosineSchedule(name="cosine", final_fraction=0.1), 1.0, 101)
    assert used[0] == 1
    assert used == sorted(used, reverse=True)
    assert used[-1] == pytest.approx(0.1, abs=1e-3)


def test_step_drops_by_its_factor() -> None:
    used = used_lr(StepSchedule(name="step", every=2, factor=0.5), 1.0, 6)
    assert used == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])


def test_an_incomplete_group_of_batches_is_a_step_of_its_own() -> None:
    assert planned_steps(TrainSection(epochs=3, accumulate=4), batches_per_epoch=10) == 9
    assert planned_steps(TrainSection(steps=7, accumulate=4), batches_per_epoch=10) == 7
