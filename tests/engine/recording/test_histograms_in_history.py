"""Histograms are kept apart: the newest of each tensor, and no heat map of them."""

import numpy as np

from sgdb_engine.recording.history import History
from sgdb_engine.recording.payloads import HISTOGRAM_BINS, HISTOGRAM_STATS, TensorRow
from sgdb_engine.recording.reader import Batch


def row(step: int, names: list[str]) -> TensorRow:
    columns = tuple(f"{stat}/{name}" for stat in HISTOGRAM_STATS for name in names)
    values = np.arange(len(columns), dtype=np.float32) + step
    return TensorRow(columns, step, 0.0, 0.0, values)


def test_the_newest_histogram_of_each_tensor_is_given_bin_by_bin() -> None:
    history = History()
    tensors = [row(1, ["a", "b"]), row(2, ["a", "b"])]
    history.add(Batch([], tensors, [], [], [], 0, caught_up=True))
    found = history.histograms()
    assert list(found) == ["a", "b"]
    assert found["a"].tolist() == [2 + 2 * i for i in range(HISTOGRAM_BINS)]
    assert found["b"].tolist() == [3 + 2 * i for i in range(HISTOGRAM_BINS)]
    assert history.tensor_stats() == ()


def test_without_a_histogram_there_is_none() -> None:
    assert History().histograms() == {}
