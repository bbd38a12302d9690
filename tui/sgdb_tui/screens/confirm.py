"""The question before the run is stopped."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from sgdb_engine.control import Stop


class ConfirmStop(ModalScreen[Stop | None]):
    """Stop with a checkpoint where one can be saved, stop without one, or go on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "choose('save')", "Save and stop", id="stop.save"),
        Binding("n", "choose('drop')", "Stop without saving", id="stop.drop"),
        Binding("escape", "choose('go_on')", "Go on training", id="stop.cancel"),
    ]

    def __init__(self, name: str, step: int, *, can_save: bool) -> None:
        super().__init__()
        self._run_name = name
        self._step = step
        self._can_save = can_save

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(Content(f"Stop {self._run_name} at step {self._step}?"), id="title", markup=False)
            save = [Option(Content("Stop and save a checkpoint  (c)"), id="save")]
            yield OptionList(
                *(save if self._can_save else []),
                Option(Content(f"Stop{' without a checkpoint' if self._can_save else ''}  (n)"), id="drop"),
                Option(Content("Go on training  (esc)"), id="go_on"),
                markup=False,
            )
            yield Static(Content(self._hint()), id="hint", markup=False)

    def _hint(self) -> str:
        own = "" if self._can_save else "Only what the script has saved itself is saved.\n"
        return f"{own}To leave and let it run on: esc, then q."

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.action_choose(event.option.id or "go_on")

    def action_choose(self, choice: str) -> None:
        """Close the question with an answer."""
        answers = {"save": Stop(checkpoint=self._can_save), "drop": Stop(checkpoint=False)}
        self.dismiss(answers.get(choice))
