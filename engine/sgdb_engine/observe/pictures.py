"""Pictures of a training, taken seldom: images of a batch, regions of a classifier of points, confusion of classes.

What a call of the model saw is kept by reference in the steps that are measured. Nothing here waits for a device.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sgdb_engine.observe.decision_regions import DecisionRegions, is_plane
from sgdb_engine.observe.distributions import Distributions
from sgdb_engine.observe.image_batch import as_images, picture_of
from sgdb_engine.observe.labelled import LossArguments, first_tensor, labelled
from sgdb_engine.observe.landing import Landing
from sgdb_engine.observe.pace import Pace
from sgdb_engine.recording.pictures import MOST_CLASSES, Confusion, Picture
from sgdb_engine.recording.writer import Recorder
from sgdb_engine.witness.confusion_counts import ConfusionCounts

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer

clock = time.perf_counter

LEAST_S = 0.5
"""Between two pictures, at the least: a dashboard looks as often."""
SHARE = 0.2
"""What they may cost beside the other measurements, as a part of the budget."""
MOST_LOSSES = 8
"""Calls of loss functions that are kept of a step."""
NOBODY = 0

Make = Callable[[list[np.ndarray]], Picture]


class Pictures:
    """Of one observer."""

    def __init__(self, observer: "Observer", recorder: Recorder, budget_share: float) -> None:
        """`budget_share`: of the step time; with 0 there are no pictures."""
        self.wants = False
        """The step under way is measured: what it computes is kept until it ends."""
        self.distributions = Distributions(observer, budget_share)
        self._observer, self._recorder = observer, recorder
        self._pace, self._pace_of_evaluations = (Pace(SHARE * budget_share, LEAST_S) for _ in range(2))
        self._call: tuple[int, Any, Any] | None = None
        self._losses: list[LossArguments] = []
        self._regions = DecisionRegions()
        self._under_way: deque[tuple[Landing, Make]] = deque()
        self._evaluation: tuple[Landing, Make] | None = None
        """Over, but too soon after another one."""
        self._taken_at = -1
        """The step of the newest regions."""

    # -- what the observer tells ------------------------------------------------------------------------

    def begin(self, wants: bool) -> None:
        """A step begins."""
        self.wants = wants and self._pace.is_on
        self.distributions.begin(wants)
        self._call, self._losses = None, []

    def called(self, model: int, inputs: Any, output: Any) -> None:
        """A model, by its `id`, was called; of several calls the last one that is told counts."""
        self._call = (model, inputs, output) if self.wants else None

    def lost(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A loss function was called with gradients."""
        if self.wants and len(self._losses) < MOST_LOSSES:
            self._losses.append((name, args, kwargs))

    def see(self) -> None:
        """The step is complete: examples of the plane are kept."""
        self._deliver()
        if self._is_of_leader() and self._call is not None and is_plane(self._call[1]):
            self._regions.see(self._call[1], labelled(*self._call[1:], self._losses))

    def step_ended(self) -> None:
        """A measured step is complete, and its row is made: if it is time for pictures, they are taken."""
        self.distributions.step_ended()
        now = clock()
        if self._pace.due(now):
            self._pace.taken(now, self._observer.guard.run_apart("pictures", self._take, now))

    def _take(self, now: float) -> None:
        self._take_images()
        self._take_regions()
        self._record_evaluation(now)
        self._deliver()

    def evaluation_ends(self, counts: ConfusionCounts) -> None:
        """Training goes on after an evaluation in which classes were judged, or not."""
        now = clock()
        if isinstance(counts.judged, int) or not self._pace.is_on:
            return
        self._evaluation = _confusion(counts, self._observer.step, time.time())
        self._record_evaluation(now)

    def finish(self) -> None:
        """Training is over: its last state, and whatever is still on its way."""
        self.distributions.finish()
        if self._pace.is_on and self._observer.step > self._taken_at:
            self._take_regions()
        if self._evaluation is not None:
            self._under_way.append(self._evaluation)
        self._deliver(wait=True)

    # -- taking -----------------------------------------------------------------------------------------

    def _is_of_leader(self) -> bool:
        root = self._observer.trainees.leader.root
        return self._call is not None and root is not None and id(root.module) == self._call[0]

    def _take_images(self) -> None:
        if self._call is None or not self._is_of_leader():
            return
        _, inputs, output = self._call
        given = first_tensor("input", inputs)
        images = as_images(given) if given is not None else None
        if images is not None:
            batch = labelled(inputs, output, self._losses)
            self._under_way.append(picture_of(images, batch, self._observer.step, time.time()))

    def _take_regions(self) -> None:
        root = self._observer.trainees.leader.root
        model = root.module if root is not None else None
        if model is None or self._observer.budget.in_step:  # with other ranks: a call may be a collective
            return
        with self._unseen():
            taken = self._regions.picture(model, self._observer.step, time.time())
        if taken is not None:
            self._taken_at = self._observer.step
            self._under_way.append(taken)

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """What is called within is not part of the training."""
        thread, self._observer.thread = self._observer.thread, NOBODY
        try:
            yield
        finally:
            self._observer.thread = thread

    def _record_evaluation(self, now: float) -> None:
        if self._evaluation is not None and self._pace_of_evaluations.due(now):
            self._under_way.append(self._evaluation)
            self._evaluation = None
            self._pace_of_evaluations.taken(now, 0.0)

    def _deliver(self, *, wait: bool = False) -> None:
        while self._under_way and (wait or self._under_way[0][0].is_here):
            landing, make = self._under_way.popleft()
            self._recorder.picture(make(landing.arrays()))


def _confusion(counts: ConfusionCounts, step: int, wall: float) -> tuple[Landing, Make]:
    assert not isinstance(counts.right, int)
    assert not isinstance(counts.judged, int)
    matrix = counts.matrix if counts.matrix is not None and len(counts.matrix) <= MOST_CLASSES else None
    tensors = [counts.right, counts.judged, *([] if matrix is None else [matrix])]

    def make(arrays: list[np.ndarray]) -> Picture:
        right, judged, *found = arrays
        return Confusion(
            step=step,
            wall=wall,
            right=int(right),
            judged=int(judged),
            classes=len(found[0]) if found else 0,
            counts=found[0].astype("<u4").tobytes() if found else b"",
        )

    return Landing(tensors), make
