"""Pictures: what goes into a record comes out of it, the newest counts, and damage is no error."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.recording.history import History
from sgdb_engine.recording.pictures import (
    MAX_BYTES,
    TYPES,
    Confusion,
    Images,
    Regions,
    decode_picture,
    encode_picture,
)
from sgdb_engine.recording.reader import RunReader
from sgdb_engine.recording.writer import Recorder

NUMBERS = st.floats(-1e6, 1e6)
STEPS = st.integers(0, 2**40)
SIDES = st.integers(1, 8)


@st.composite
def regions(draw: Any) -> Regions:
    height, width, points = draw(SIDES), draw(SIDES), draw(st.integers(0, 5))
    low = draw(st.tuples(NUMBERS, NUMBERS))
    return Regions(
        step=draw(STEPS),
        wall=1e9,
        height=height,
        width=width,
        low=low,
        high=(low[0] + 1, low[1] + 1),
        cells=draw(st.binary(min_size=height * width, max_size=height * width)),
        points=draw(st.binary(min_size=8 * points, max_size=8 * points)),
        targets=draw(st.binary(min_size=points, max_size=points)),
    )


@st.composite
def images(draw: Any) -> Images:
    count, height, width, channels = draw(SIDES), draw(SIDES), draw(SIDES), draw(st.sampled_from([1, 3]))
    size = count * height * width * channels
    classes = tuple(draw(st.lists(st.integers(-1, 99), min_size=count, max_size=count)))
    return Images(
        step=draw(STEPS),
        wall=1e9,
        count=count,
        height=height,
        width=width,
        channels=channels,
        pixels=draw(st.binary(min_size=size, max_size=size)),
        low=draw(NUMBERS),
        high=draw(NUMBERS),
        targets=classes,
        predictions=classes[::-1],
    )


@st.composite
def confusions(draw: Any) -> Confusion:
    classes = draw(st.integers(0, 6))
    right = draw(st.integers(0, 100))
    return Confusion(
        step=draw(STEPS),
        wall=1e9,
        right=right,
        judged=right + draw(st.integers(0, 100)),
        classes=classes,
        counts=draw(st.binary(min_size=4 * classes**2, max_size=4 * classes**2)),
    )


PICTURES = st.one_of(regions(), images(), confusions())


@given(PICTURES)
def test_a_picture_comes_back_as_it_was(picture: Any) -> None:
    assert decode_picture(*encode_picture(picture)) == picture


@given(PICTURES, st.data())
def test_a_part_that_is_too_short_or_too_long_is_refused_on_both_sides(picture: Any, data: Any) -> None:
    arrays = [name for name in picture.__struct_fields__ if isinstance(getattr(picture, name), bytes)]
    name = data.draw(st.sampled_from(arrays))
    broken = msgspec.structs.replace(picture, **{name: getattr(picture, name) + b"\0"})
    with pytest.raises(ValueError, match="do not fit together"):
        encode_picture(broken)
    for kind in TYPES:
        assert decode_picture(kind, msgspec.msgpack.encode(broken)) is None


@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=200))
def test_damage_is_no_picture_and_no_error(kind: int, payload: bytes) -> None:
    assert decode_picture(kind, payload) is None


def test_what_is_too_large_is_neither_written_nor_read() -> None:
    large = msgspec.structs.replace(image_of(1), height=300, width=300, pixels=bytes(90_000))
    with pytest.raises(ValueError, match="too long for a picture"):
        encode_picture(large)
    assert decode_picture(7, bytes(MAX_BYTES + 1)) is None


def test_arrays_have_their_shape() -> None:
    picture = Regions(
        step=1,
        wall=0.0,
        height=2,
        width=3,
        low=(0.0, 0.0),
        high=(1.0, 1.0),
        cells=bytes(range(6)),
        points=np.array([[0.5, 0.25]], "<f4").tobytes(),
        targets=b"\1",
    )
    assert picture.grid.tolist() == [[0, 1, 2], [3, 4, 5]]
    points, targets = picture.examples
    assert (points.tolist(), targets.tolist()) == ([[0.5, 0.25]], [1])
    counts = np.arange(4, dtype="<u4").tobytes()
    found = Confusion(step=1, wall=0.0, right=3, judged=6, classes=2, counts=counts)
    assert found.matrix.tolist() == [[0, 1], [2, 3]]
    assert image_of(1).array.shape == (1, 1, 2, 1)


def image_of(step: int) -> Images:
    return Images(
        step=step, wall=0.0, count=1, height=1, width=2, channels=1, pixels=bytes(2), low=0.0, high=1.0
    )


def test_the_newest_of_each_type_is_kept_and_a_rewind_drops_what_was_taken_later(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    confusion = Confusion(step=7, wall=0.0, right=1, judged=1, classes=0, counts=b"")
    for picture in (image_of(5), confusion, image_of(9)):
        recorder.picture(picture)
    recorder.flush()
    reader, history = RunReader(tmp_path), History()
    history.add(reader.poll())
    assert history.pictures.of(Images) == image_of(9)
    assert history.pictures.of(Confusion) == confusion
    assert history.pictures.of(Regions) is None
    recorder.rewind(8)
    recorder.close()
    history.add(reader.poll())
    assert history.pictures.of(Images) is None
    assert history.pictures.of(Confusion) == confusion
    assert history.missing_records == 0


def test_one_that_cannot_be_recorded_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.picture(msgspec.structs.replace(image_of(3), count=2))
    recorder.picture(image_of(4))
    recorder.flush()
    assert "picture of step 3 could not be recorded" in recorder.problem
    recorder.close()
    assert RunReader(tmp_path).poll().pictures == [image_of(4)]
