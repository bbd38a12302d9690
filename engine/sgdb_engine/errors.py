"""Everything that a user can get wrong, as one tree.

SgdbError
├── ConfigError        the config file or a --set option
├── TargetError        what stands after `sgdb run` cannot be run
├── DataError          the data cannot be read or do not fit the model
├── RunFolderError     no such run, or its folder cannot be read or written
├── CheckpointError    no whole checkpoint there
└── ControlError       the engine is gone, or refused a command
"""

from collections.abc import Sequence


class SgdbError(Exception):
    """A mistake that the user can mend; the message says what, where, and what would be right."""


class ConfigError(SgdbError):
    """One or more mistakes in a config, all of them at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class TargetError(SgdbError):
    """The target cannot be run."""


class DataError(SgdbError):
    """The data cannot be read, or do not fit what is asked of them."""


class RunFolderError(SgdbError):
    """There is no such run, or its folder cannot be read or written."""


class CheckpointError(SgdbError):
    """There is no whole checkpoint at that place."""


class ControlError(SgdbError):
    """The engine is gone, or refused a command."""
