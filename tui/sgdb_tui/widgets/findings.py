"""The findings of a run: what is wrong, when and where, and what to try; Enter shows the step on all charts."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from sgdb_engine.events import Finding
from sgdb_tui.widgets.finding_list import FindingList


class Findings(FindingList):
    """Findings with the steps at which they were made."""

    HELP = f"{FindingList.HELP}\nEnter shows the step on all charts.\n"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "jump", "Show the step of the finding on all charts", id="findings.jump", show=False)
    ]

    class Jump(Message):
        """Show this step on all charts."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def action_jump(self) -> None:
        """Ask for all charts to show the step of the finding under the cursor."""
        if self.findings:
            self.post_message(self.Jump(self.findings[self.selected].step))

    def mark_of(self, finding: Finding) -> str:
        """The step, in a column as wide as the widest."""
        digits = max(len(str(each.step)) for each in self.findings)
        return f"{finding.step:>{digits}} "
