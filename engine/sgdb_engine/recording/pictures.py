"""Records that are pictures: small arrays to be looked at, of which only the newest counts.

Each payload is MessagePack, a map of the fields below; what is called bytes holds an array, little-endian.
"""

from typing import TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt

from sgdb_engine.recording.json_records import CONFUSION, IMAGES, REGIONS

MAX_BYTES = 64 * 2**10
"""Of a payload; a longer one is not written."""
MOST_CLASSES = 100
NO_CLASS = 255
"""In a grid of classes: the scores were not finite."""

Bytes = npt.NDArray[np.uint8]


class Regions(msgspec.Struct, frozen=True, kw_only=True):
    """Which class a model with two inputs predicts, over a rectangle of the plane, and examples on top."""

    step: int
    wall: float
    """Seconds since the epoch."""
    height: int
    width: int
    low: tuple[float, float]
    """The corner with the smallest x and y."""
    high: tuple[float, float]
    cells: bytes
    """uint8 [height × width], from the largest y down: the class at the middle of each cell, or NO_CLASS."""
    points: bytes
    """float32 [n × 2]"""
    targets: bytes
    """uint8 [n]: their classes."""

    @property
    def grid(self) -> Bytes:
        """uint8 (height, width)"""
        return np.frombuffer(self.cells, np.uint8).reshape(self.height, self.width)

    @property
    def examples(self) -> tuple[npt.NDArray[np.float32], Bytes]:
        """Points, float32 (n, 2), and their classes, uint8 (n,)."""
        points = np.frombuffer(self.points, "<f4").astype(np.float32, copy=False)
        return points.reshape(-1, 2), np.frombuffer(self.targets, np.uint8)

    @property
    def is_whole(self) -> bool:
        """Whether the parts fit together."""
        return (
            min(self.height, self.width) > 0
            and len(self.cells) == self.height * self.width
            and len(self.points) == 8 * len(self.targets)
            and bool(np.isfinite([*self.low, *self.high]).all())
            and all(low < high for low, high in zip(self.low, self.high, strict=True))
        )


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """The first examples of a batch, and what was said of them."""

    step: int
    wall: float
    count: int
    height: int
    width: int
    channels: int
    """1, or 3 for red, green, blue."""
    pixels: bytes
    """uint8 [count × height × width × channels], 0 for `low` to 255 for `high`."""
    low: float
    """The smallest value shown, as the model was given it."""
    high: float
    targets: tuple[int, ...] = ()
    """The class of each; empty where the task is another one."""
    predictions: tuple[int, ...] = ()
    """The class with the highest score."""

    @property
    def array(self) -> Bytes:
        """uint8 (count, height, width, channels)"""
        shape = (self.count, self.height, self.width, self.channels)
        return np.frombuffer(self.pixels, np.uint8).reshape(shape)

    @property
    def is_whole(self) -> bool:
        """Whether the parts fit together."""
        return (
            min(self.count, self.height, self.width) > 0
            and self.channels in (1, 3)
            and len(self.pixels) == self.count * self.height * self.width * self.channels
            and len(self.targets) in (0, self.count)
            and len(self.predictions) == len(self.targets)
            and bool(np.isfinite([self.low, self.high]).all())
        )


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """A validation pass: which class was predicted for which."""

    step: int
    wall: float
    right: int
    """Targets that were predicted."""
    judged: int
    """Targets."""
    classes: int
    """0 where there are too many for the counts."""
    counts: bytes
    """uint32 [classes × classes]: how often (row: the true class, column: the predicted one)."""

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """int64 (classes, classes)"""
        return np.frombuffer(self.counts, "<u4").astype(np.int64).reshape(self.classes, self.classes)

    @property
    def is_whole(self) -> bool:
        """Whether the parts fit together."""
        return (
            0 <= self.right <= self.judged
            and 0 <= self.classes <= MOST_CLASSES
            and len(self.counts) == 4 * self.classes**2
        )


Picture = Regions | Images | Confusion
_P = TypeVar("_P", Regions, Images, Confusion)

TYPES: dict[int, type[Regions] | type[Images] | type[Confusion]] = {
    REGIONS: Regions,
    IMAGES: Images,
    CONFUSION: Confusion,
}
"""Type of the record → what it holds."""


def encode_picture(picture: Picture) -> tuple[int, bytes]:
    """Type and payload. Raises ValueError where it does not fit together, or is too large."""
    if not picture.is_whole:
        raise ValueError(f"the parts of {type(picture).__name__} do not fit together")
    payload = msgspec.msgpack.encode(picture)
    if len(payload) > MAX_BYTES:
        raise ValueError(f"{len(payload)} bytes are too long for a picture")
    return next(kind for kind, of in TYPES.items() if of is type(picture)), payload


def decode_picture(kind: int, payload: bytes) -> Picture | None:
    """The picture in a record of one of `TYPES`, or None if it is not one."""
    if len(payload) > MAX_BYTES:
        return None
    try:
        picture = msgspec.msgpack.decode(payload, type=TYPES[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return picture if picture.is_whole else None


class Newest:
    """The newest picture of each type."""

    def __init__(self) -> None:
        self._of: dict[type, Picture] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held, at the most."""
        return MAX_BYTES * len(self._of)

    def take(self, picture: Picture) -> None:
        """One was recorded."""
        self._of[type(picture)] = picture

    def rewind(self, step: int) -> None:
        """What was taken later does not count."""
        self._of = {of: picture for of, picture in self._of.items() if picture.step <= step}

    def of(self, wanted: type[_P]) -> _P | None:
        """That of a type; None where none was recorded."""
        return cast("_P | None", self._of.get(wanted))
