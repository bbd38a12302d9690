"""NaN and infinity: where they were first seen, told once for each place."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from sgdb_engine.events import Finding, Severity

ADVICE = {
    "input": "Look for missing values in the data; clean or fill them before training.",
    "loss": (
        "Try a tenth of the learning rate, clip the gradients (clip_norm = 1.0), and look at the range of the inputs. "
        "In a loss of your own look for log(0), sqrt(0) and divisions."
    ),
    "tensors": (
        "These weights cannot recover by themselves: go back to a checkpoint, then lower the learning rate or clip."
    ),
}
MOST_NAMED = 5
"""Tensors named in a message; all are in `where`."""


class NonFinite:
    """Remembers what it has told, so that a run full of NaN makes a handful of findings."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    @property
    def _explained(self) -> bool:
        """NaN in the inputs explains all that follows."""
        return any(place.startswith("input") for place in self._told)

    def scalars(self, step: int, row: Mapping[str, float]) -> list[Finding]:
        """The findings of one row of scalars, by column."""
        if math.isfinite(sum(row.values())):
            return []
        found = []
        for column, value in row.items():
            if not math.isfinite(value):
                found += self._scalar(step, column, value)
        return found

    def inputs(self, step: int, row: Mapping[str, float]) -> list[Finding]:
        """The findings of the counts of non-finite inputs, by column."""
        found = []
        for column, value in row.items():
            if value > 0 and column.startswith(("input/", "input.")) and column.endswith("/nonfinite"):
                values, are = ("value", "is") if value == 1 else ("values", "are")
                name = column.removesuffix("/nonfinite")
                text = f"{int(value)} {values} of the model's {name} {are} NaN or infinite."
                found += self._tell(
                    "input-nonfinite", "error", column, step, text, ADVICE["input"], {column: int(value)}
                )
        return found

    def tensors(self, step: int, columns: Sequence[str], values: np.ndarray) -> list[Finding]:
        """The findings of one row of per-tensor statistics, float32 [columns]."""
        names = [
            column.removeprefix("nonfinite/")
            for column, value in zip(columns, values.tolist(), strict=True)
            if value > 0 and column.startswith("nonfinite/")
        ]
        if not names:
            return []
        shown = ", ".join(names[:MOST_NAMED]) + (
            f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        )
        text = f"NaN or infinity in the weights or gradients of {shown}."
        return self._tell(
            "nonfinite",
            "error",
            "tensors",
            step,
            text,
            ADVICE["tensors"],
            {"tensors": len(names)},
            tuple(names),
        )

    def _scalar(self, step: int, column: str, value: float) -> list[Finding]:
        if column == "grad_norm" or column.startswith(("train/", "val/")):
            text = f"{column} is {_word(value)}."
            return self._tell(
                "nonfinite", "error", column, step, text, ADVICE["loss"], {column: _word(value)}
            )
        return []

    def _tell(
        self,
        code: str,
        severity: Severity,
        place: str,
        step: int,
        message: str,
        advice: str,
        evidence: dict[str, float | int | str],
        where: tuple[str, ...] = (),
    ) -> list[Finding]:
        if place in self._told or (self._explained and not place.startswith("input")):
            return []
        self._told.add(place)
        return [
            Finding(
                code=code,
                severity=severity,
                step=step,
                message=message,
                advice=advice,
                where=where or (place,),
                evidence=evidence,
            )
        ]


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
