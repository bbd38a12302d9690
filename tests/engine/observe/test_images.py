"""The first examples of a batch as pictures, with their classes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.image_batch import LARGEST_SIDE, MOST_IMAGES, as_images, picture_of
from sgdb_engine.recording.pictures import MAX_BYTES, Images, encode_picture
from tests.engine.observe.conftest import Recorded


def made(images: torch.Tensor) -> Images:
    channels_first = as_images(images)
    assert channels_first is not None
    landing, make = picture_of(channels_first, None, 5, 1e9)
    return make(landing.arrays())


@pytest.mark.parametrize(
    ("shape", "channels"), [((20, 1, 8, 6), 1), ((20, 3, 8, 6), 3), ((20, 8, 6), 1)], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_grey_and_colour_of_floats_and_bytes(
    shape: tuple[int, ...], channels: int, dtype: torch.dtype
) -> None:
    values = torch.randint(0, 200, shape).to(dtype)
    picture = made(values)
    assert (picture.count, picture.height, picture.width, picture.channels) == (MOST_IMAGES, 8, 6, channels)
    first = values[:MOST_IMAGES].double().numpy().reshape(MOST_IMAGES, channels, 8, 6)
    low, high = first.min(), first.max()
    expected = np.rint((first - low) / (high - low) * 255).transpose(0, 2, 3, 1)
    assert (picture.low, picture.high) == (low, high)
    assert np.abs(picture.array - expected).max() <= 1


@pytest.mark.parametrize(
    "shape",
    [(20, 8), (20, 2, 8, 8), (20, 4, 8, 8), (20, 100, 8), (20, 3, 8), (20, 1, 2, 2), (0, 8, 8)],
    ids=str,
)
def test_what_is_no_picture(shape: tuple[int, ...]) -> None:
    assert as_images(torch.zeros(shape)) is None


def test_numbers_of_tokens_are_none() -> None:
    assert as_images(torch.zeros(20, 8, 8, dtype=torch.int64)) is None


def test_large_images_are_averaged_and_fit_a_record() -> None:
    image = torch.arange(128.0).repeat(12, 3, 128, 1)  # lighter from left to right
    picture = made(image)
    assert (picture.height, picture.width) == (LARGEST_SIDE, LARGEST_SIDE)
    row = picture.array[0, 0, :, 0]
    assert (np.diff(row.astype(int)) > 0).all()
    assert len(encode_picture(picture)[1]) < MAX_BYTES


def test_values_that_are_not_finite_do_not_set_the_scale() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, :3] = torch.tensor([torch.nan, torch.inf, 2.0])
    picture = made(image)
    assert (picture.low, picture.high) == (0.0, 2.0)
    assert picture.array[0, 0, :, 0].tolist() == [0, 255, 255, 0]
    nothing = made(torch.full((1, 1, 4, 4), torch.nan))
    assert not nothing.array.any()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x.flatten(1))


def trained(recorded: Recorded, loss: Any, budget: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """One step on 12 images; scores and targets."""
    model, x, y = Net(), torch.randn(12, 1, 8, 8), torch.arange(12) % 5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with observe(recorded, budget=budget):  # type: ignore[arg-type]
        scores = model(x)
        loss(scores, y).backward()
        optimizer.step()
    return scores.detach(), y


def test_the_first_step_has_a_picture_with_what_was_said_and_what_is(recorded: Recorded) -> None:
    scores, target = trained(recorded, lambda o, y: F.cross_entropy(o, y))
    (picture,) = recorded.pictures
    assert isinstance(picture, Images)
    assert picture.step == 1
    assert picture.targets == tuple(target[:MOST_IMAGES].tolist())
    assert picture.predictions == tuple(scores.argmax(1)[:MOST_IMAGES].tolist())
    assert recorded.failed_probes == []


def test_a_loss_by_hand_has_images_without_classes(recorded: Recorded) -> None:
    trained(recorded, lambda o, y: -o.log_softmax(1)[torch.arange(12), y].mean())
    (picture,) = recorded.pictures
    assert isinstance(picture, Images)
    assert picture.targets == picture.predictions == ()


def test_targets_that_are_ignored_are_said_to_be(recorded: Recorded) -> None:
    trained(recorded, lambda o, y: F.cross_entropy(o, y, ignore_index=0))
    (picture,) = recorded.pictures
    assert isinstance(picture, Images)
    assert picture.targets[:3] == (-1, 1, 2)


def test_without_a_budget_there_are_none(recorded: Recorded) -> None:
    trained(recorded, lambda o, y: F.cross_entropy(o, y), budget=0.0)
    assert recorded.pictures == []
