"""What is known tensor by tensor, for the heat map and the range bars."""

from collections.abc import Mapping

import numpy as np

from sgdb_engine.recording.history import History
from sgdb_tui.widgets.heat_map import HeatMap
from sgdb_tui.widgets.range_bars import RangeBars, RangeRow


def show_gradients(heat_map: HeatMap, history: History) -> None:
    """The gradient norm of each tensor over the run."""
    latest = history.latest("grad_norm")
    if latest is not None:
        heat_map.show(history.tensor_names("grad_norm"), history.heat("grad_norm"), latest[1])


def show_parameters(bars: RangeBars, history: History) -> None:
    """The present range of each parameter."""
    low = _latest(history, "param_min")
    high, mean, std = (_latest(history, f"param_{stat}") for stat in ("max", "mean", "std"))
    broken = _latest(history, "nonfinite")
    unknown = float("nan")
    bars.show(
        [
            RangeRow(
                name,
                value,
                high.get(name, unknown),
                mean.get(name, unknown),
                std.get(name, unknown),
                nonfinite=int(np.nan_to_num(broken.get(name, 0.0))),
            )
            for name, value in low.items()
        ]
    )


def _latest(history: History, stat: str) -> Mapping[str, float]:
    latest = history.latest(stat)
    return {} if latest is None else dict(zip(history.tensor_names(stat), latest[1].tolist(), strict=True))
