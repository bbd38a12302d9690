"""A config file and its --set options → a checked RunConfig, or every mistake at once."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sgdb_engine.config import records
from sgdb_engine.config.overrides import lay_over, option_value, split_option
from sgdb_engine.config.records import LossTerm, RunConfig
from sgdb_engine.config.tables import Reading, unknown_tables
from sgdb_engine.config.wording import listed, nearest, show
from sgdb_engine.errors import ConfigError

S = TypeVar("S", bound=records.Section)


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a config file; the run is named after the file where it has no name of its own.

    Raises ConfigError with all mistakes, each with file, key, value and what would be right.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file.{_nearest_file(path)}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text (byte {error.start}); is this a config?"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    return parse_config(text, origin=str(path), overrides=overrides, name=_run_name(path))


def parse_config(text: str, *, origin: str, overrides: Sequence[str] = (), name: str = "run") -> RunConfig:
    """Reads the text of a config; `origin` is what messages call it, `name` the run's where it has none."""
    raw = _toml(text, origin)
    options: dict[str, str] = {}
    problems = []
    for option in overrides:
        split = split_option(option)
        if isinstance(split, str):
            problems.append(split)
            continue
        key, value = split
        options[key] = f"--set {option}"
        wrong = lay_over(raw, key, option_value(value))
        if wrong:
            problems.append(f"--set {option}: {wrong}")
    _length_as_typed(raw, options)
    reading = Reading(origin, options)
    config = _read(reading, raw, name)
    if problems or reading.problems:
        raise ConfigError([*problems, *reading.problems])
    return config


def _length_as_typed(raw: dict[str, Any], options: Mapping[str, str]) -> None:
    """Epochs or steps: the one that was typed takes the place of the other, that stands in the file."""
    train = raw.get("train")
    typed = {"epochs", "steps"} & {key.removeprefix("train.") for key in options if key.startswith("train.")}
    if isinstance(train, dict) and len(typed) == 1:
        train.pop("epochs" if "steps" in typed else "steps", None)


def _toml(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{origin}: {_syntax(str(error), text)}"]) from None
    except RecursionError:
        raise ConfigError([f"{origin}: lists or tables are nested too deeply"]) from None


def _syntax(message: str, text: str) -> str:
    found = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", message, re.DOTALL)
    if not found:
        return f"not TOML: {message}"
    what, line, column = found.groups()
    lines = text.splitlines()
    shown = f": {show(lines[int(line) - 1].strip())}" if int(line) <= len(lines) else ""
    return f"line {line}, column {column}: not TOML, {what[:1].lower()}{what[1:]}{shown}"


def _read(reading: Reading, raw: dict[str, Any], name: str) -> RunConfig:
    for key, wrong in unknown_tables(raw):
        reading.problem(key, wrong)
    run = raw.get("run", {})
    config = RunConfig(
        run=reading.section(
            records.RunSection, {"name": name, **run} if isinstance(run, dict) else run, "run"
        ),
        data=_named_or_own(
            reading, raw.get("data", {}), "data", records.DATASETS, records.OwnData, records.DataSection
        ),
        model=_named_or_own(
            reading, raw.get("model", {}), "model", records.MODELS, records.OwnModel, records.ModelSection
        ),
        loss=_losses(reading, raw),
        optimizer=_named(
            reading, raw.get("optimizer", {}), "optimizer", records.OPTIMIZERS, records.OptimizerSection
        ),
        schedule=_named_or_own(
            reading,
            _with_name(raw.get("schedule", {}), "constant"),
            "schedule",
            records.SCHEDULES,
            records.OwnSchedule,
            records.ScheduleSection,
        ),
        train=reading.section(records.TrainSection, raw.get("train", {}), "train"),
        observe=reading.section(records.ObserveSection, raw.get("observe", {}), "observe"),
        check=reading.section(records.CheckSection, raw.get("check", {}), "check"),
    )
    _across_keys(reading, raw, config)
    return config


def _with_name(table: object, name: str) -> object:
    """A table that names nothing else is the one of that name."""
    if not isinstance(table, dict) or "name" in table or "use" in table:
        return table
    return {"name": name, **table}


def _named(reading: Reading, table: object, key: str, variants: Mapping[str, type[S]], base: type[S]) -> S:
    """The record that belongs to the section's name; the shared one where that is wrong, to find more."""
    if not isinstance(table, dict):
        return reading.section(base, table, key)
    name = table.get("name")
    if isinstance(name, str) and name in variants:
        return reading.section(variants[name], table, key, variants)
    if name is None:
        reading.problem(f"{key}.name", f"missing; must be one of {', '.join(variants)}")
    else:
        close = nearest(name, variants) if isinstance(name, str) else ""
        reading.problem(f"{key}.name", f"must be one of {', '.join(variants)}.{close}", name)
    return reading.section(base, _shared(table, variants, base), key)


def _named_or_own(
    reading: Reading,
    table: object,
    key: str,
    variants: Mapping[str, type[S]],
    own: type[S],
    base: type[S],
) -> S:
    if not isinstance(table, dict) or "use" not in table:
        return _named(reading, table, key, variants, base)
    if "name" in table:
        reading.problem(f"{key}.use", f"{key} has a name too; keep one of the two", table["use"])
    return reading.section(own, table, key, variants)


def _shared(table: Mapping[str, Any], variants: Mapping[str, type[S]], base: type[S]) -> dict[str, Any]:
    """The keys of the table that can be judged without knowing which name is meant."""
    owned = {key for record in variants.values() for key in record.__struct_fields__}
    shared = set(base.__struct_fields__)
    return {
        "name": "",
        **{key: value for key, value in table.items() if key in shared - {"name"} or key not in owned},
    }


def _losses(reading: Reading, raw: Mapping[str, Any]) -> tuple[LossTerm, ...]:
    tables = raw.get("loss")
    if tables is None or tables == []:
        reading.problem("loss", 'missing; write [[loss]] and below it name = "cross_entropy" or another')
        return ()
    if not isinstance(tables, list):
        reading.problem("loss", "must be a list of tables: write [[loss]] with two brackets")
        return ()
    terms = tuple(
        _named(reading, table, f"loss.{i}", records.LOSSES, LossTerm) for i, table in enumerate(tables)
    )
    names = [(term.name, term.target) for term in terms if term.name]
    for name, target in sorted({each for each in names if names.count(each) > 1}):
        of = "" if target == "y" else f" of target {target}"
        reading.problem("loss", f"{name}{of} is there twice; give it once with the sum of the weights")
    if terms and all(term.weight == 0 for term in terms):
        reading.problem("loss", "every weight is 0: nothing is left to minimise; give one a weight above 0")
    return terms


def _across_keys(reading: Reading, raw: Mapping[str, Any], config: RunConfig) -> None:
    """What only shows when keys are seen together."""
    train = raw.get("train", {})
    lengths = {"epochs", "steps"} & set(train if isinstance(train, dict) else {})
    if not lengths:
        reading.problem("train.epochs", "missing; say how long: epochs, or steps (of the optimizer)")
    if len(lengths) == 2:
        reading.problem("train.steps", "there are epochs too; keep one of the two", train["steps"])
    if config.train.batch_size == "full" and config.train.accumulate > 1:
        wrong = 'batch_size = "full" leaves nothing to accumulate; leave one of the two out'
        reading.problem("train.accumulate", wrong, config.train.accumulate)
    model = config.model
    if isinstance(model, records.TransformerModel) and model.width % model.heads:
        wrong = f"must divide model.width = {model.width} without remainder, such as {_divisor(model)}"
        reading.problem("model.heads", wrong, model.heads)
    if isinstance(config.optimizer, records.SgdOptimizer):
        _one_momentum(reading, config.optimizer)


def _one_momentum(reading: Reading, sgd: records.SgdOptimizer) -> None:
    if sgd.ema_momentum and (sgd.momentum or sgd.nesterov):
        wrong = "is another form of optimizer.momentum; keep one of the two"
        reading.problem("optimizer.ema_momentum", wrong, sgd.ema_momentum)
    elif sgd.nesterov and not sgd.momentum:
        reading.problem("optimizer.nesterov", "needs optimizer.momentum above 0, such as 0.9", sgd.nesterov)


def _divisor(model: records.TransformerModel) -> int:
    return max(count for count in range(1, model.heads + 1) if model.width % count == 0)


def _run_name(path: Path) -> str:
    """A run's name from a file's: other characters become '-'."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem).lstrip("-.")[:64] or "run"


def _nearest_file(path: Path) -> str:
    try:
        beside = sorted(each.name for each in path.parent.glob("*.toml"))
    except OSError:
        return ""
    close = nearest(path.name, beside)
    if close or not beside:
        return close
    return f" Beside it: {listed(beside[:8])}."
