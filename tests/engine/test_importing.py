"""What is to happen when a package is imported happens then, once, and leaves nothing behind."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgdb_engine.importing import when_imported


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package that is not imported yet."""
    (tmp_path / "fresh_package").mkdir()
    (tmp_path / "fresh_package" / "__init__.py").write_text(
        "whole = False\nfrom . import part\nwhole = True\n"
    )
    (tmp_path / "fresh_package" / "part.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "fresh_package"
    for name in [name for name in sys.modules if name.startswith("fresh_package")]:
        del sys.modules[name]


def test_it_happens_when_the_package_is_whole_and_only_once(package: str) -> None:
    seen: list[bool] = []
    before = list(sys.meta_path)
    with when_imported(package, lambda: seen.append(sys.modules[package].whole)):
        assert seen == []
        module = importlib.import_module(package)
        assert seen == [True]
        importlib.import_module(f"{package}.part")
        assert sys.meta_path == before
    assert seen == [True]
    assert "exec_module" not in vars(module.__spec__.loader)  # type: ignore[union-attr]


def test_it_happens_at_once_where_the_package_is_there() -> None:
    seen: list[int] = []
    with when_imported("sys", lambda: seen.append(1)):
        assert seen == [1]


def test_after_the_block_nothing_happens_any_more(package: str) -> None:
    seen: list[int] = []
    before = list(sys.meta_path)
    with when_imported(package, lambda: seen.append(1)):
        pass
    importlib.import_module(package)
    assert seen == []
    assert sys.meta_path == before


def test_a_package_that_fails_to_import_can_be_imported_again(package: str, tmp_path: Path) -> None:
    source = tmp_path / "fresh_package" / "part.py"
    source.write_text("raise RuntimeError('half')\n")
    seen: list[int] = []
    with when_imported(package, lambda: seen.append(1)):
        with pytest.raises(RuntimeError, match="half"):
            importlib.import_module(package)
        assert seen == []
        source.write_text("# mended\n")
        importlib.invalidate_caches()
        importlib.import_module(package)
        assert seen == [1]


def test_a_package_that_is_not_there_is_missed_as_without_us() -> None:
    with when_imported("no_such_package", lambda: None), pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_package")
