"""The other ranks, read from their files."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.events import Noted, TrainingFailed
from sgdb_engine.ranks.reading import GlobalNorms, RanksReader
from sgdb_engine.recording.payloads import ScalarRows
from sgdb_engine.recording.reader import RunReader
from sgdb_engine.recording.writer import Recorder

from .conftest import WriteRank


def rows(steps: list[int], squares: list[float], column: str = "grad_square") -> ScalarRows:
    times = np.asarray(steps, np.float64)
    return ScalarRows((column,), np.asarray(steps, np.int64), times, times, np.asarray(squares)[:, None])


@given(
    squares=st.lists(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), min_size=1, max_size=20),
    cuts=st.lists(st.integers(1, 7), min_size=3, max_size=3),
)
def test_the_norm_is_the_root_of_the_sum_however_the_rows_come_in(
    squares: list[list[float]], cuts: list[int]
) -> None:
    norms, found = GlobalNorms(), {}
    for start in range(0, len(squares) * 7, 7):
        for rank, cut in enumerate(cuts):
            first = start // 7 * cut
            part = squares[first : first + cut]
            if part:
                steps = list(range(first + 1, first + 1 + len(part)))
                norms.add(rank, [rows(steps, [each[rank] for each in part])])
        for ready in norms.ready(range(3)):
            assert ready.columns == ("grad_norm",)
            found.update(zip(ready.steps.tolist(), ready.values[:, 0].tolist(), strict=True))
    assert found == {step: pytest.approx(math.sqrt(sum(each))) for step, each in enumerate(squares, 1)}


def test_steps_that_one_rank_has_not_recorded_have_no_norm() -> None:
    norms = GlobalNorms()
    norms.add(0, [rows([1, 2, 4], [1.0, 1.0, 1.0])])
    norms.add(1, [rows([2, 3, 4], [8.0, 8.0, 15.0])])
    (ready,) = norms.ready((0, 1))
    assert ready.steps.tolist() == [2, 4]
    assert ready.values[:, 0].tolist() == [3.0, 4.0]


def test_of_two_rows_of_one_step_the_later_one_counts() -> None:
    norms = GlobalNorms()
    norms.add(0, [rows([1, 1], [100.0, 9.0])])
    norms.add(1, [rows([1], [16.0])])
    (ready,) = norms.ready((0, 1))
    assert ready.values[:, 0].tolist() == [5.0]


def test_what_waits_for_a_rank_that_is_silent_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgdb_engine.ranks.reading._MOST_WAITING", 10)
    norms = GlobalNorms()
    for step in range(100):
        norms.add(0, [rows([step], [1.0])])
    assert norms.ready((0, 1)) == []
    norms.add(1, [rows(list(range(100)), [3.0] * 100)])
    (ready,) = norms.ready((0, 1))
    assert ready.steps.tolist() == list(range(90, 100))


def test_several_optimizers_have_norms_of_their_own() -> None:
    norms = GlobalNorms()
    for rank in (0, 1):
        norms.add(rank, [rows([1], [2.0], "G.grad_square"), rows([1], [8.0], "D.grad_square")])
    found = {part.columns: part.values[0, 0] for part in norms.ready((0, 1))}
    assert found == {("G.grad_norm",): 2.0, ("D.grad_norm",): 4.0}


def test_where_no_rank_holds_parts_the_records_of_the_others_are_not_read(
    tmp_path: Path, write: WriteRank
) -> None:
    write(0)
    write(1)
    recorder = Recorder(tmp_path, rank=1)
    recorder.scalars(("grad_norm",), 1, 0.0, 0.0, (1.0,))
    recorder.event(Noted(text="hello"))
    recorder.event(TrainingFailed(error="ValueError: mine", traceback=""))
    recorder.close()
    reader = RanksReader(tmp_path)
    news = reader.poll([])
    assert [status.rank for status in news.ranks] == [0, 1]
    assert [(rank, type(event)) for rank, event in news.events] == [(1, Noted), (1, TrainingFailed)]
    assert news.rows == []
    assert reader.poll([]).events == []


def test_the_parts_that_ranks_recorded_are_added_up(tmp_path: Path, write: WriteRank) -> None:
    for rank, square in ((0, 9.0), (1, 16.0)):
        write(rank)
        recorder = Recorder(tmp_path, rank=rank)
        recorder.scalars(("train/loss", "grad_square"), 5, 1.0, 1.0, (0.5, square))
        recorder.close()
    news = RanksReader(tmp_path).poll(RunReader(tmp_path).poll().scalars)
    (norms,) = news.rows
    assert (norms.columns, norms.steps.tolist(), norms.values.tolist()) == (("grad_norm",), [5], [[5.0]])


def test_of_a_training_in_one_process_there_is_nothing(tmp_path: Path) -> None:
    assert RanksReader(tmp_path).poll([]) == ([], [], [])
