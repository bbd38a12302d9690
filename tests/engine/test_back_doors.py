"""Breakpoints of a script that has no terminal."""

from pathlib import Path

import pytest

from sgdb_engine.back_doors import breakpoints_pause
from sgdb_engine.ranks.place import Place
from sgdb_engine.session import Engine


@pytest.mark.parametrize(("rank", "held"), [(0, ["breakpoint()"]), (1, [])])
def test_only_those_of_the_first_rank_pause(
    rank: int, held: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[str] = []
    monkeypatch.setattr(Engine, "pause_here", lambda engine, by: paused.append(by))
    engine = Engine(tmp_path, lambda engine: None, place=Place(rank, 2))
    with breakpoints_pause(engine):
        breakpoint()
    assert paused == held
    assert ("not paused" in engine.notes[0]) == (rank > 0)
    engine.start()
    engine.wait()
