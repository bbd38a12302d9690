"""Points in the plane, made here."""

import math

import torch

from sgdb_engine.config.records import DataSection, SpiralsData
from sgdb_engine.workload.datasets.examples import Examples, Wanted, with_target

FIVE_POINTS = (
    ((1.2, -3.4), 0),
    ((2.3, 2.8), 0),
    ((-0.7, 1.2), 1),
    ((3.2, -0.4), 1),
    ((-1.3, 2.3), 2),
)


def five_points(_: Wanted[DataSection]) -> Examples:
    """Five points of three classes: the smallest problem that needs more than one layer."""
    points = torch.tensor([point for point, _ in FIVE_POINTS])
    return with_target(x=points, y=torch.tensor([label for _, label in FIVE_POINTS]), kind="table", classes=3)


def spirals(wanted: Wanted[SpiralsData]) -> Examples:
    """One arm a class, all winding once around the origin; drawn by the seed."""
    section = wanted.section
    generator = torch.Generator().manual_seed(wanted.seed)
    label = torch.arange(section.points) % section.classes
    radius = torch.rand(section.points, generator=generator).sqrt()
    noise = section.noise * torch.randn(section.points, generator=generator)
    angle = 2 * math.pi * (radius + label / section.classes) + noise
    x = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    return with_target(x=x, y=label, kind="table", classes=section.classes)
