"""How a run ends."""

from dataclasses import dataclass

from sgdb_engine.events import State


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended."""

    state: State
    exit_code: int
    message: str = ""
    refused: bool = False
    """It never began: the config, the script, the data or the model cannot be right; the message says how."""


class OverError(BaseException):
    """Ends a training from within it: its run has ended so."""

    def __init__(self, end: End) -> None:
        super().__init__(end.message)
        self.end = end
