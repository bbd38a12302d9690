"""The screen's tests do not depend on the terminal they run in: Textual reads these when imported."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"
os.environ["TEXTUAL_ANIMATIONS"] = "none"
os.environ.pop("NO_COLOR", None)

UPDATE = "SGDB_UPDATE_GOLDEN"
"""Set this in the environment to write the golden files anew; then read their diff."""


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with golden/<name>.txt beside the test file."""

    def compare(name: str, text: str) -> None:
        path = Path(request.path).parent / "golden" / f"{name}.txt"
        lines = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        if os.environ.get(UPDATE):
            path.parent.mkdir(exist_ok=True)
            path.write_text(lines, encoding="utf-8")
        assert lines == path.read_text(encoding="utf-8")

    return compare
