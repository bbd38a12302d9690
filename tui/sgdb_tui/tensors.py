"""What is known tensor by tensor, for the heat map and the range bars."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sgdb_engine.events import ValueRange
from sgdb_engine.recording.history import History
from sgdb_engine.recording.payloads import HistogramKind
from sgdb_tui.bridge import RunView
from sgdb_tui.widgets.heat_map import HeatMap
from sgdb_tui.widgets.range_bars import RangeBars, RangeRow

_NUMBERED_WEIGHT = re.compile(r"(^|\.)\d+\.weight$")
"""The weight of a layer that has nothing but a number: `4` alone would say too little."""


def show_gradients(heat_map: HeatMap, view: RunView) -> None:
    """The gradient norm of each tensor over the run.

    Coloured by the norm over √(number of values): a bias is not abnormal because it is small.
    """
    history, shapes = view.history, view.described.tensors
    latest = history.latest("grad_norm")
    if latest is None:
        return
    heat_map.end_step = view.step + 1 if view.ended else view.steps_planned
    names = history.tensor_names("grad_norm")
    sizes = {tensor.name: math.prod(tensor.shape) for tensor in shapes}
    scale = np.sqrt([max(1, sizes.get(name, 1)) for name in names])
    heat = history.heat("grad_norm")
    per_value = replace(heat, values=np.asarray(heat.values / scale[:, None], np.float32))
    heat_map.show(short_names(names), per_value, latest[1])


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names without what says nothing: the first parts that all share, and a last part "weight"."""
    parts = [name.split(".") for name in names]
    shared = 0
    while parts and all(len(part) > shared + 2 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    short = [".".join(part[shared:]) for part in parts]
    stems = tuple(name if _NUMBERED_WEIGHT.search(name) else name.removesuffix(".weight") for name in short)
    return stems if len(set(stems)) == len(stems) else tuple(short)


def show_parameters(bars: RangeBars, history: History) -> None:
    """The present range of each parameter, or the histograms that are asked for."""
    if bars.histograms is not None:
        bars.show(_histogram_rows(history, bars.histograms))
        return
    low = _latest(history, "param_min")
    high, mean, std = (_latest(history, f"param_{stat}") for stat in ("max", "mean", "std"))
    broken = _latest(history, "nonfinite")
    unknown = float("nan")
    bars.show(
        [
            RangeRow(
                short,
                value,
                high.get(name, unknown),
                mean.get(name, unknown),
                std.get(name, unknown),
                nonfinite=int(np.nan_to_num(broken.get(name, 0.0))),
            )
            for short, (name, value) in zip(short_names(tuple(low)), low.items(), strict=True)
        ]
    )


def _histogram_rows(history: History, kind: HistogramKind) -> list[RangeRow]:
    found = history.histograms(kind)
    unknown = float("nan")
    broken = _latest(history, "nonfinite") if kind == "weights" else {}
    return [
        RangeRow(
            short,
            each.low,
            each.high,
            unknown,
            unknown,
            nonfinite=int(np.nan_to_num(broken.get(name, 0.0))),
            shares=tuple(each.shares.tolist()),
        )
        for short, (name, each) in zip(short_names(tuple(found)), found.items(), strict=True)
    ]


def show_ranges(bars: RangeBars, ranges: Sequence[ValueRange]) -> None:
    """What a check measured before the first update."""
    bars.show(
        [
            RangeRow(_name_with_place(each), each.low, each.high, each.mean, each.std, each.nonfinite)
            for each in ranges
        ]
    )


def _name_with_place(measured: ValueRange) -> str:
    """An activation bears the name of its layer, so that it is told from the layer's parameters."""
    return f"act {measured.name}".rstrip() if measured.place == "activation" else measured.name


def _latest(history: History, stat: str) -> Mapping[str, float]:
    latest = history.latest(stat)
    return {} if latest is None else dict(zip(history.tensor_names(stat), latest[1].tolist(), strict=True))
