"""What the statistics of each tensor say: how weights grow and move, how large gradients are."""

import math
from collections.abc import Mapping
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.findings.moving import LATER, LEAST_UPDATES, Moving

from .written_down import several

ratios = st.floats(2**-20, 1.0)


def row(step: int, moving: Moving, **stats: Mapping[str, float]) -> None:
    """A row of these: `stat={tensor: value}`."""
    of = {f"{stat}/{name}": value for stat, each in stats.items() for name, value in each.items()}
    moving.take(step, tuple(of), np.array([*of.values()], dtype=np.float32))


def weighed(moving: Moving, *sizes: float) -> None:
    """Weights of these sizes were measured, a bias that grows, and something else."""
    names = {f"{i}.weight": size for i, size in enumerate(sizes)}
    row(
        1,
        moving,
        param_mean={"0.bias": 9.0, **{name: 0.6 * size for name, size in names.items()}},
        param_std={"0.bias": 9.0, **{name: 0.8 * size for name, size in names.items()}},
        grad_std={"0.weight": 7.0},
    )


def stepped(moving: Moving, step: int, gradients: Mapping[str, float], moves: Mapping[str, float]) -> None:
    """Gradients of these norms were measured, and these moves, as shares of the weights."""
    row(step, moving, grad_norm=gradients, update_ratio=moves)


# -- sizes ------------------------------------------------------------------------------------------------


def test_the_weights_are_compared_with_those_first_measured_each_by_itself() -> None:
    moving = Moving()
    weighed(moving, 1.0, 2.0, 100.0)
    assert moving.weight_ratio == 1.0
    weighed(moving, 0.1, 0.1, 100.0)
    assert moving.weight_ratio == pytest.approx(0.1)
    weighed(moving, 1.0, 2.0, 100.0)
    assert moving.weight_ratio == pytest.approx(1.0)


def test_weights_that_begin_at_zero_have_no_ratio() -> None:
    moving = Moving()
    for size in (0.0, 5.0):
        weighed(moving, size)
    assert moving.weight_ratio == 1.0


def test_what_has_no_weights_has_no_ratio() -> None:
    moving = Moving()
    for _ in range(2):
        weighed(moving)
    assert moving.weight_ratio == 1.0


# -- moves ------------------------------------------------------------------------------------------------

STEPS = range(1, 26, 4)


def moves_of(backbone: float, head: float = 1e-3, gradient: float = 0.1, steps: range = STEPS) -> Moving:
    moving = Moving()
    for step in steps:
        stepped(moving, step, {"backbone": gradient, "head": 0.2}, {"backbone": backbone, "head": head})
    return moving


def test_a_tensor_with_a_gradient_that_never_moves_beside_others_that_do_is_told() -> None:
    assert moves_of(0.0).unmoved == ("backbone",)


def test_a_tensor_that_moves_by_the_least_is_not() -> None:
    assert moves_of(1e-30).unmoved == ()


def test_a_tensor_without_a_gradient_need_not_move() -> None:
    assert moves_of(0.0, gradient=0.0).unmoved == ()


def test_a_rate_of_zero_for_all_is_no_update() -> None:
    moving = moves_of(0.0, head=0.0)
    assert (moving.unmoved, moving.last_update) == ((), 0)
    assert math.isnan(moving.update_ratio)


def test_a_few_steps_close_together_say_nothing() -> None:
    assert moves_of(0.0, steps=range(1, LEAST_UPDATES + 4)).unmoved == ()
    assert moves_of(0.0, steps=range(1, LATER * (LEAST_UPDATES - 1), LATER)).unmoved == ()


def test_a_tensor_that_is_thawed_later_is_no_longer_told() -> None:
    moving = moves_of(0.0)
    stepped(moving, 99, {"backbone": 0.1, "head": 0.2}, {"backbone": 1e-3, "head": 1e-3})
    assert moving.unmoved == ()


def test_a_step_that_is_not_finite_says_nothing() -> None:
    moving = moves_of(0.0)
    stepped(moving, 99, {"backbone": math.nan, "head": 0.2}, {"backbone": 1.0, "head": 1e-3})
    assert (moving.unmoved, moving.last_update) == (("backbone",), STEPS[-1])


@several
@given(st.lists(st.tuples(ratios, ratios, ratios), min_size=1, max_size=30))
def test_the_update_ratio_is_the_median_of_medians(each: list[tuple[float, float, float]]) -> None:
    moving = Moving()
    for step, moves in enumerate(each, 1):
        names = dict(zip("abc", moves, strict=True))
        stepped(moving, step, dict.fromkeys("abc", 1.0), names)
    assert moving.update_ratio == pytest.approx(median(median(moves) for moves in each), rel=1e-6)


def test_each_optimizer_has_rows_of_its_own() -> None:
    moving = moves_of(0.0)
    for step in STEPS:
        stepped(moving, step, {"critic": 0.1, "scale": 0.3}, {"critic": 0.0, "scale": 1e-3})
    assert moving.unmoved == ("backbone", "critic")


# -- gradients --------------------------------------------------------------------------------------------

SIZES = (("0", 100), ("2", 100), ("4", 25))


def gradients_of(*rows: tuple[int, tuple[float, float, float]]) -> Moving:
    moving = Moving()
    for step, norms in rows:
        stepped(moving, step, dict(zip("024", norms, strict=True)), dict.fromkeys("024", 1e-3))
    return moving


def test_a_gradient_that_vanishes_is_compared_by_its_root_mean_square() -> None:
    moving = gradients_of((1, (1e-8, 2e-8, 1.0)), (LATER + 1, (4e-8, 1e-8, 1.0)))
    ratio, first, step = moving.gradient_ratio(SIZES)
    # of the first two matrices the larger one, over 10 and 5 values a side, of both times the larger
    assert ratio == pytest.approx((4e-8 / 10) / (1.0 / 5))
    assert (first, step) == ("0", LATER + 1)


def test_it_is_known_when_it_was_measured_after_the_first_steps_too() -> None:
    early = gradients_of((1, (1e-8, 1e-8, 1.0)), (LATER, (1e-8, 1e-8, 1.0)))
    assert early.gradient_ratio(SIZES) == (None, "", 0)


def test_a_branch_that_begins_at_zero_has_a_gradient_later() -> None:
    ratio, _, _ = gradients_of((1, (0.0, 0.0, 1.0)), (20, (0.1, 0.1, 1.0))).gradient_ratio(SIZES)
    assert ratio == pytest.approx(0.05)


def test_of_the_later_measurements_the_newest_counts() -> None:
    """A warm-up keeps such a branch small for long."""
    slowly = [(step, (1e-9 * step**2, 0.0, 1.0)) for step in (1, 20, 100, 1000)]
    ratio, _, step = gradients_of(*slowly).gradient_ratio(SIZES)
    assert ratio == pytest.approx(1e-3 / 2)
    assert step == 1000


def test_of_fewer_than_three_matrices_nothing_is_said() -> None:
    moving = gradients_of((1, (1e-8, 1e-8, 1.0)), (20, (1e-8, 1e-8, 1.0)))
    assert moving.gradient_ratio(SIZES[:2]) == (None, "", 0)
    assert moving.gradient_ratio((*SIZES[:2], ("elsewhere", 10))) == (None, "", 0)


def test_a_last_layer_without_a_gradient_is_nothing_to_compare_with() -> None:
    ratio, _, _ = gradients_of((1, (1e-8, 1e-8, 0.0)), (20, (1e-8, 1e-8, 0.0))).gradient_ratio(SIZES)
    assert ratio == math.inf
