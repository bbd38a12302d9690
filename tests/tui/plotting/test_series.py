"""From buckets of the history to curves."""

import numpy as np

from sgdb_engine.recording.history import Bins, History
from sgdb_tui.plotting.series import Curve, curve_from_bins


def bins() -> Bins:
    two = np.array([1.0, 2.0])
    return Bins(
        first=np.array([0.0, 4.0]),
        last=np.array([3.0, 7.0]),
        mean=two,
        min=two - 1,
        max=two + 1,
        last_value=two,
        count=np.array([4.0, 4.0]),
        nonfinite=np.array([0.0, 1.0]),
    )


def test_a_bucket_lies_in_the_middle_of_its_steps_in_the_unit_of_the_axis() -> None:
    curve = curve_from_bins("train/loss", bins(), lambda steps: steps / 10)
    assert curve.x.tolist() == [0.15, 0.55]
    assert (curve.low.tolist(), curve.high.tolist()) == ([0.0, 1.0], [2.0, 3.0])
    assert curve.nonfinite.tolist() == [0, 1]
    assert curve.latest == 2.0


def test_the_letter_is_that_of_the_last_part_of_the_name() -> None:
    assert curve_from_bins("val/accuracy", bins(), lambda steps: steps).label == "a"
    assert curve_from_bins("‖g‖", bins(), lambda steps: steps).label == "g"
    assert curve_from_bins("val/accuracy", bins(), lambda steps: steps, label="v").label == "v"


def test_an_unknown_column_is_an_empty_curve() -> None:
    curve = curve_from_bins("nothing", History().series("nothing"), lambda steps: steps)
    assert curve.x.size == 0
    assert curve.index_near(3.0) is None


def test_the_nearest_bucket_is_found() -> None:
    x = np.array([0.0, 10.0, 20.0])
    curve = Curve("a", "a", "train", x, x, x, x, np.zeros(3, np.int64))
    assert [curve.index_near(place) for place in (-5, 4, 6, 14, 99)] == [0, 0, 1, 1, 2]
