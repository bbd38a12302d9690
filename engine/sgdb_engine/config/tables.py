"""TOML tables → records, with every mistake collected instead of the first one raised."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import inspect

from sgdb_engine.config import records
from sgdb_engine.config.records import Section
from sgdb_engine.config.wording import expected, hint, listed, nearest, show

S = TypeVar("S", bound=Section)

RECORDS: dict[str, tuple[type[Section], ...]] = {
    "run": (records.RunSection,),
    "data": (*records.DATASETS.values(), records.OwnData),
    "model": (*records.MODELS.values(), records.OwnModel),
    "loss": tuple(records.LOSSES.values()),
    "optimizer": tuple(records.OPTIMIZERS.values()),
    "schedule": (*records.SCHEDULES.values(), records.OwnSchedule),
    "train": (records.TrainSection,),
    "observe": (records.ObserveSection,),
    "check": (records.CheckSection,),
}
"""Each section of a config and the records that it can become."""


class Reading:
    """One config being read: its mistakes so far, each with the place that it came from."""

    def __init__(self, origin: str, options: Mapping[str, str]) -> None:
        self.origin = origin
        self.options = options
        """Dotted key → the --set option that gave its value."""
        self.problems: list[str] = []

    def problem(self, key: str, wrong: str, value: object = msgspec.UNSET) -> None:
        """Notes a mistake at a dotted key."""
        place = self.options.get(key, self.origin)
        shown = f" = {show(value)}" if value is not msgspec.UNSET and value is not None else ""
        self.problems.append(f"{place}: {key}{shown}: {wrong}")

    def section(
        self, kind: type[S], table: object, key: str, variants: Mapping[str, type[Section]] | None = None
    ) -> S:
        """The record of a table; where it has mistakes, one with their keys left at stand-ins.

        `variants` are the records of the same section under other names: a key of theirs is told as such.
        """
        if not isinstance(table, dict):
            self.problem(key, f"must be a table: [{key}] with its keys below", table)
            return _stand_in(kind)
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name, value in table.items():
            if name not in fields:
                self._unknown(f"{key}.{name}", name, value, tuple(fields), variants or {})
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in table:
                values |= self._value(field.type, table[name], f"{key}.{name}", name)
            elif field.required:
                self.problem(f"{key}.{name}", f"missing; must be {expected(inspect.type_info(field.type))}")
        return _stand_in(kind, values)

    def _value(self, kind: Any, value: Any, key: str, name: str) -> dict[str, Any]:
        for each in (kind, *get_args(kind)):  # a table, or one that may be left out
            if isinstance(each, type) and issubclass(each, Section):
                return {name: self.section(each, value, key)}
        try:
            return {name: msgspec.convert(value, kind)}
        except msgspec.ValidationError:
            described = inspect.type_info(kind)
            self.problem(key, f"must be {expected(described)}.{hint(value, described)}", value)
            return {}

    def _unknown(
        self, key: str, name: str, value: Any, fields: tuple[str, ...], variants: Mapping[str, type[Section]]
    ) -> None:
        owners = [variant for variant, record in variants.items() if name in record.__struct_fields__]
        if owners:
            self.problem(key, f"is a key of {listed(owners)} only", value)
            return
        known = f"; known here are {listed(fields)}." if len(fields) <= 8 else "."
        self.problem(key, f"unknown key{known}{nearest(name, fields) or elsewhere(name)}", value)


def _stand_in(kind: type[S], values: Mapping[str, Any] | None = None) -> S:
    """A record with the values that are right; a required one that is missing stays None, and is never used:
    the config is refused."""
    given = dict(values or {})
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in given:
            given[field.name] = None
    return kind(**given)


def elsewhere(name: str) -> str:
    """Where a key of this name belongs, if there is one section for it."""
    homes = [home for home, kinds in RECORDS.items() if any(name in kind.__struct_fields__ for kind in kinds)]
    return f" {name} is a key of [{homes[0]}]." if len(homes) == 1 else ""


def unknown_tables(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Top-level keys that are no section, each with what to say."""
    for key in raw:
        if key not in RECORDS:
            close = nearest(key, RECORDS) or elsewhere(key)
            yield key, f"unknown section; there are {listed(RECORDS)}.{close}"
