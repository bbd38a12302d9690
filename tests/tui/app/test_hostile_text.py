"""Foreign text, wherever it comes from, reaches the screen as text: no markup, no escape, no layout."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.events import (
    CheckpointSaved,
    CheckStage,
    CommandApplied,
    Finding,
    FindingChanged,
    Noted,
    ProbeFailed,
    RunDescribed,
    StateChanged,
    TensorShape,
    TrainingFailed,
    Validated,
)
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.glyphs import in_ascii
from tests.tui.app.driving import dashboard, seen
from tests.tui.app.recorded import make_folder, record, write_state

PAYLOADS = {
    "clipboard": "\x1b]52;c;aGFja2Vk\x07",
    "title": "\x1b]0;pwned\x1b\\",
    "colour": "\x1b[31mred\x1b[0m",
    "c1": "\x9b31mred\x9d0;pwned\x9c",
    "closing tag": "[/]",
    "unclosed tag": "[bold",
    "click": "[@click=app.quit]x[/]",
    "bidi": "\u202egnp.exe\u2066",
    "newline": "two\nlines\r\nof\ttext",
    "long": "a" * 10_000,
    "wide": "語" * 300,
    "combining": "e" + "\u0301" * 200,
    "null": "a\x00b\x7f",
}
KEYS_OF_A_RUN = ("8", "enter", "z", "9", "question_mark", "escape", "Q", "escape")
KEYS_OF_A_CHECK = ("up", "2", "3", "4", "enter", "z", "5", "question_mark", "escape")
AT_ONCE = " ".join(text for name, text in PAYLOADS.items() if name not in ("long", "wide"))


def record_hostile(tmp_path: Path, text: str, mode: str) -> Path:
    """A run whose every text is the payload."""
    folder = make_folder(tmp_path, mode=mode, name=text, folder_name="hostile")
    record(folder, num_steps=40, layers=(f"{text}.weight", "b.weight"))
    recorder = Recorder(folder)
    finding = Finding(
        code=text, severity="error", step=1, message=text, advice=text, where=(text,), location=text
    )
    recorder.event(RunDescribed(device=text, tensors=(TensorShape(text, (1,), text),), notes=(text,)))
    recorder.event(FindingChanged(finding=finding))
    recorder.event(CheckpointSaved(path=text, size_bytes=1))
    recorder.event(CommandApplied(command=text, by=text, old=text, new=text))
    recorder.event(Validated(metrics={text: 1.0}, best=True))
    recorder.event(CheckStage(name=text, status="fail", reason=text, evidence={text: text, "floor": text}))
    recorder.event(Noted(text=text))
    recorder.event(ProbeFailed(probe=text, error=text))
    recorder.event(TrainingFailed(error=text, traceback=text))
    recorder.event(StateChanged(state="failed", reason=text))
    for column in (text, f"train/{text}", f"input.{text}/min"):
        recorder.scalars((column,), 40, 1.8e9, 40.0, [1.0])
    recorder.close()
    (folder / "output.log").write_text(text * 3 + "\n" + text)
    write_state(folder, "failed", step=40, message=text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["run", "check"])
@pytest.mark.parametrize("name", PAYLOADS)
async def test_a_payload_does_nothing(tmp_path: Path, name: str, mode: str) -> None:
    await look_everywhere(record_hostile(tmp_path, PAYLOADS[name], mode))


@pytest.mark.parametrize("mode", ["run", "check"])
async def test_all_payloads_at_once_do_nothing(tmp_path: Path, mode: str) -> None:
    await look_everywhere(record_hostile(tmp_path, AT_ONCE, mode))


async def look_everywhere(folder: Path) -> None:
    """Open what can be opened; all of it must be harmless text of the right shape."""
    async with dashboard(folder, (120, 40)) as (app, pilot):
        screens = [seen(app)]
        for key in KEYS_OF_A_CHECK if app.view.info.mode == "check" else KEYS_OF_A_RUN:
            await pilot.press(key)
            await pilot.pause()
            screens.append(seen(app))
        assert app.is_running
    for screen in screens:
        assert all(line.isprintable() for line in screen.splitlines())
        assert len(screen.splitlines()) == 40


@given(st.text())
def test_ascii_keeps_the_width_of_what_has_a_likeness(text: str) -> None:
    plain = in_ascii(text)
    assert plain.isascii()
    assert text if not text.isascii() else plain == text


async def test_with_ascii_nothing_else_reaches_the_terminal(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (120, 40), ascii_only=True) as (app, pilot):
        for key in ("8", "question_mark", "escape", "Q", "escape", "slash"):
            await pilot.press(key)
            await pilot.pause()
            assert seen(app).isascii(), key
