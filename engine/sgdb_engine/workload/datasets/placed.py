"""Digits somewhere in a larger picture: what is it, and where?"""

import torch

from sgdb_engine.config.records import DigitsData, PlacedDigitsData
from sgdb_engine.workload.datasets.bundled import digits
from sgdb_engine.workload.datasets.examples import Examples, Target, Wanted


def placed_digits(wanted: Wanted[PlacedDigitsData]) -> Examples:
    """scikit-learn's 1797 digits, each at a place of a dark picture that is drawn by the seed.

    Two targets: `y`, the digit; `place`, the row and column of its upper left corner, in pixels (N, 2).
    """
    section = wanted.section
    pictures = digits(Wanted(DigitsData(name="digits"), wanted.folder, wanted.seed, wanted.tasks))
    size = pictures.x.shape[-1]
    generator = torch.Generator().manual_seed(wanted.seed)
    place = torch.randint(0, section.side - size + 1, (len(pictures.x), 2), generator=generator)
    x = torch.zeros(len(pictures.x), 1, section.side, section.side)
    for picture, digit, (row, column) in zip(x, pictures.x, place.tolist(), strict=True):
        picture[:, row : row + size, column : column + size] = digit
    return Examples(x, {**pictures.targets, "place": Target(place.float())}, kind="images")
