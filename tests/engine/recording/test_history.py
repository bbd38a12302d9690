"""The history is bounded and hides nothing: compared with an obvious twin that keeps everything."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdb_engine.events import EpochEnded
from sgdb_engine.recording.buckets import Buckets
from sgdb_engine.recording.history import Bins, History
from sgdb_engine.recording.json_records import Gap, Rewind
from sgdb_engine.recording.payloads import ScalarRows, TensorRow
from sgdb_engine.recording.reader import Batch

NOTHING = Batch([], [], [], [], [], 0, True)
Rows = list[tuple[int, float]]


def batch_of(rows: Rows, name: str = "loss") -> Batch:
    steps = np.array([step for step, _ in rows], np.int64)
    values = np.array([[value] for _, value in rows], np.float64).reshape(-1, 1)
    return NOTHING._replace(scalars=[ScalarRows((name,), steps, 1e9 + steps, steps / 10, values)])


def tensors_of(step: int, values: dict[str, float]) -> Batch:
    array = np.array(list(values.values()), np.float32)
    return NOTHING._replace(tensors=[TensorRow(tuple(values), step, 0.0, 0.0, array)])


def twin_of(rows: Rows, width: int) -> Bins:
    """What the bins must be, value by value."""
    ordered = sorted(rows, key=lambda row: row[0])
    bins: dict[int, Rows] = {}
    for step, value in ordered:
        bins.setdefault(step // width, []).append((step, value))
    columns = []
    for content in bins.values():
        finite = [value for _, value in content if math.isfinite(value)]
        columns.append(
            (
                content[0][0],
                content[-1][0],
                float(sum(map(Fraction, finite)) / len(finite)) if finite else math.nan,
                min(finite, default=math.nan),
                max(finite, default=math.nan),
                content[-1][1],
                len(content),
                len(content) - len(finite),
            )
        )
    return Bins(*np.array(columns, np.float64).reshape(-1, 8).T)


def assert_same(found: Bins, expected: Bins) -> None:
    for field in ("first", "last", "min", "max", "last_value", "count", "nonfinite"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=field)
    # A mean of values that cancel out is only as exact as the largest of them.
    scale = np.nan_to_num(np.maximum(np.abs(expected.min), np.abs(expected.max)))
    difference = np.abs(found.mean / 2 - expected.mean / 2)
    assert np.all(np.isnan(found.mean) == np.isnan(expected.mean))
    assert np.all(np.isnan(difference) | (difference <= 1e-12 * scale + 1e-300))


batches = st.lists(st.lists(st.tuples(st.integers(0, 500), st.floats()), max_size=30), max_size=8)


@given(batches, st.sampled_from([2, 8, 64]))
def test_buckets_equal_their_twin_whatever_comes_in_whatever_order(
    parts: list[Rows], max_buckets: int
) -> None:
    buckets = Buckets(max_buckets)
    for part in parts:
        buckets.add(np.array([s for s, _ in part], np.int64), np.array([v for _, v in part], np.float64))
    rows = [row for part in parts for row in part]
    found = buckets.bins(None, None, None)
    assert len(found.first) <= max_buckets
    assert_same(found, twin_of(rows, 1 << buckets.shift))
    if buckets.shift:
        assert len(twin_of(rows, 1 << buckets.shift - 1).first) > max_buckets  # no coarser than it must be


@given(batches, st.integers(1, 40), st.integers(0, 500), st.integers(0, 500))
def test_a_window_in_fewer_bins_equals_its_twin(parts: list[Rows], bins: int, first: int, last: int) -> None:
    history = History()
    for part in parts:
        history.add(batch_of(part))
    found = history.series("loss", first, last, bins)
    assert len(found.first) <= bins
    rows = [row for part in parts for row in part if first <= row[0] <= last]
    width = 1
    while len(twin_of(rows, width).first) > bins:
        width *= 2
    assert_same(found, twin_of(rows, width))


def test_a_spike_and_a_nan_among_a_million_steps_are_seen() -> None:
    history = History()
    values = np.ones(1_000_000)
    values[123_456], values[654_321] = 1e9, math.nan
    for start in range(0, len(values), 10_000):
        steps = np.arange(start, start + 10_000)
        rows = ScalarRows(("loss",), steps, steps / 1.0, steps / 1.0, values[steps, None])
        history.add(NOTHING._replace(scalars=[rows]))
    for bins in (None, 200, 1):
        found = history.series("loss", bins=bins)
        assert np.nanmax(found.max) == 1e9
        assert found.nonfinite.sum() == 1
        assert found.count.sum() == 1_000_000
        spike = int(np.nanargmax(found.max))
        assert found.first[spike] <= 123_456 <= found.last[spike]


def test_buckets_stay_where_they_are_when_the_run_grows() -> None:
    history = History()
    before: Bins | None = None
    for step in range(0, 20_000, 100):
        history.add(batch_of([(step + i, float(i)) for i in range(100)]))
        found = history.series("loss", bins=50)
        if before is not None:
            assert set(found.first) <= {*before.first, *range(step, step + 100)}
            if found.first[1] == before.first[1]:  # as wide as before: all but the last are as they were
                finished = slice(len(before.first) - 1)
                assert found.mean[finished].tolist() == before.mean[finished].tolist()
        before = found


def test_sparse_columns_keep_every_value() -> None:
    history = History()
    history.add(batch_of([(step * 1000, float(step)) for step in range(4000)], "val/loss"))
    assert len(history.series("val/loss").first) == 4000


def test_an_unknown_column_is_empty() -> None:
    history = History()
    assert len(history.series("x").first) == 0
    assert history.last("x") is None
    assert history.latest("x") is None
    assert history.heat("x").values.shape == (0, 0)
    assert (history.names(), history.first_step, history.last_step, history.step_rate()) == (
        (),
        None,
        None,
        None,
    )
    assert math.isnan(history.time_at(3))


def test_the_last_value_is_that_of_the_last_step_finite_or_not() -> None:
    history = History()
    history.add(batch_of([(1, 1.0), (3, 3.0), (2, 2.0)]))
    assert history.last("loss") == (3, 3.0)
    history.add(batch_of([(4, math.nan)]))
    last = history.last("loss")
    assert last is not None
    assert (last.step, math.isnan(last.value)) == (4, True)
    history.add(batch_of([(2, 20.0)]))
    assert history.last("loss") == (4, pytest.approx(math.nan, nan_ok=True))
    assert (history.first_step, history.last_step) == (1, 4)


@pytest.mark.parametrize("num_columns", [1, 100, 500])
def test_scalars_stay_within_their_bytes(num_columns: int) -> None:
    limit = 4 * 2**20
    history = History(max_bytes=limit)
    columns = tuple(f"column {i}" for i in range(num_columns))
    tracemalloc.start()
    for start in range(0, 5000, 500):
        steps = np.arange(start, start + 500)
        values = np.ones((500, num_columns))
        rows = ScalarRows(columns, steps, steps / 1.0, steps / 1.0, values)
        history.add(NOTHING._replace(scalars=[rows]))
        del rows, values
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert history.nbytes <= limit
    assert held <= limit
    assert len(history.names()) + history.columns_left_out // 10 == num_columns
    assert history.series("column 0").count.sum() == 5000


def test_tensors_stay_within_their_bytes_by_having_fewer_bins() -> None:
    limit = 2**20
    history = History(max_bytes=limit)
    columns = tuple(f"grad_norm/tensor {i}" for i in range(500))
    rng = np.random.default_rng(0)
    largest = np.zeros(500, np.float32)
    for step in range(1000):
        values = rng.random(500, np.float32)
        largest = np.maximum(largest, values)
        history.add(NOTHING._replace(tensors=[TensorRow(columns, step, 0.0, 0.0, values)]))
    assert history.nbytes <= limit
    heat = history.heat("grad_norm")
    assert 32 <= heat.values.shape[1] < 256
    np.testing.assert_array_equal(heat.values.max(axis=1), largest)


def test_more_tensors_than_the_bytes_can_hold_are_not_kept() -> None:
    history = History(max_bytes=2**20)
    history.add(tensors_of(0, {f"grad_norm/{i}": 1.0 for i in range(100_000)}))
    assert 0 < len(history.tensor_names("grad_norm")) < 2000
    assert history.nbytes <= 2**20


measurements = st.lists(
    st.tuples(st.integers(0, 3000), st.lists(st.floats(width=32), min_size=3, max_size=3)),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(measurements, st.integers(1, 300))
def test_the_heat_map_equals_its_twin(rows: list[tuple[int, list[float]]], bins: int) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    history = History()
    for step, values in rows:
        history.add(tensors_of(step, dict(zip(["g/a", "g/b", "p/a"], values, strict=True))))
    heat = history.heat("g", bins)
    assert heat.values.shape == heat.nonfinite.shape == (2, len(heat.edges) - 1)
    assert heat.values.shape[1] <= min(bins, 256)
    assert np.all(np.diff(heat.edges) > 0)
    for column in range(heat.values.shape[1]):
        inside = [v for step, v in rows if heat.edges[column] <= step < heat.edges[column + 1]]
        for tensor in range(2):
            finite = [v[tensor] for v in inside if math.isfinite(v[tensor])]
            expected = max(finite, default=math.nan)
            assert heat.values[tensor, column] == pytest.approx(expected, nan_ok=True, rel=0, abs=0)
            assert heat.nonfinite[tensor, column] == (len(finite) < len(inside))
    latest = history.latest("g")
    assert latest is not None
    assert latest[0] == rows[-1][0]
    np.testing.assert_array_equal(latest[1], np.array(rows[-1][1][:2], np.float32))


def test_tensors_that_appear_later_are_added() -> None:
    history = History()
    history.add(tensors_of(0, {"g/a": 1.0}))
    history.add(tensors_of(1, {"g/b": 2.0, "act_mean/fc": 3.0}))
    assert history.tensor_stats() == ("g", "act_mean")
    assert history.tensor_names("g") == ("a", "b")
    assert history.tensor_names() == ("a", "b", "fc")
    np.testing.assert_array_equal(history.heat("g").values, np.array([[1, np.nan], [np.nan, 2]], np.float32))
    assert history.latest("g") is not None
    assert history.latest("g")[1].tolist() == [1.0, 2.0]  # type: ignore[index]


def test_time_goes_by_the_monotonic_clock_from_the_first_row() -> None:
    history = History()
    steps = np.arange(1, 101)
    rows = ScalarRows(("loss",), steps, 1e9 - steps, 50 + steps / 4, np.ones((100, 1)))
    history.add(NOTHING._replace(scalars=[rows]))
    assert history.time_at(1) == 0.0
    assert history.time_at(41) == 10.0
    assert history.times_at(np.array([21.0, 22.0])).tolist() == [5.0, 5.25]
    assert history.wall_at(7) == 1e9 - 7
    assert history.step_rate() == pytest.approx(4.0)


def test_the_first_row_of_a_step_says_when_it_was_done() -> None:
    history = History()
    history.add(batch_of([(1, 0.0), (2, 0.0)]))
    pause = ScalarRows(("cpu",), np.array([2, 2]), np.zeros(2), np.array([50.0, 60.0]), np.ones((2, 1)))
    history.add(NOTHING._replace(scalars=[pause]))
    assert history.time_at(2) == pytest.approx(0.1)


def test_after_a_resume_the_time_goes_on() -> None:
    history = History()
    for steps, start in ((np.arange(10), 1000.0), (np.arange(10, 20), 5.0)):
        rows = ScalarRows(("loss",), steps, steps / 1.0, start + np.arange(10), np.ones((10, 1)))
        history.add(NOTHING._replace(scalars=[rows]))
    assert history.times_at(np.array([0.0, 9.0, 10.0, 19.0])).tolist() == [0.0, 9.0, 9.0, 18.0]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    history = History()
    slow = ScalarRows(("a",), np.arange(100), np.zeros(100), np.arange(100.0), np.ones((100, 1)))
    history.add(NOTHING._replace(scalars=[slow]))
    for start in range(0, 1000, 10):
        steps = 100 + start + np.arange(10)
        times = 100 + (start + np.arange(10)) / 100
        history.add(NOTHING._replace(scalars=[ScalarRows(("a",), steps, times, times, np.ones((10, 1)))]))
    assert history.step_rate() == pytest.approx(100, rel=0.02)


def test_epochs_gaps_and_missing_records_are_kept() -> None:
    history = History()
    history.add(
        NOTHING._replace(events=[EpochEnded(epoch=1, step=100)], gaps=[Gap(3, 4, "x")], missing_records=2)
    )
    history.add(NOTHING._replace(events=[EpochEnded(epoch=2, step=200)], missing_records=1))
    assert history.epochs == [(1, 100), (2, 200)]
    assert history.gaps == [Gap(3, 4, "x")]
    assert history.missing_records == 3


def test_a_rewind_drops_later_steps_before_its_batch_is_added() -> None:
    history = History()
    history.add(batch_of([(step, 100.0 + step) for step in range(100)]))
    history.add(NOTHING._replace(events=[EpochEnded(epoch=1, step=50), EpochEnded(epoch=2, step=90)]))
    history.add(tensors_of(30, {"g/a": 1.0}))
    history.add(tensors_of(80, {"g/a": 2.0}))
    history.add(batch_of([(60, 1.0), (61, 2.0)])._replace(rewinds=[Rewind(59)]))
    found = history.series("loss")
    assert found.first.tolist() == list(range(62))
    assert found.count.tolist() == [1.0] * 62
    assert history.last("loss") == (61, 2.0)
    assert history.last_step == 61
    assert history.epochs == [(1, 50)]
    assert history.heat("g").values.tolist() == [[1.0]]


def test_steps_that_no_run_has_are_ignored() -> None:
    history = History()
    history.add(batch_of([(2**62, 1.0), (5, 2.0), (-(2**62), 3.0)]))
    history.add(tensors_of(2**62, {"g/a": 1.0}))
    assert history.series("loss").first.tolist() == [5.0]
    assert history.tensor_stats() == ()


def test_no_rows_are_no_error() -> None:
    history = History()
    history.add(batch_of([]))
    history.add(NOTHING)
    assert history.last_step is None
