"""Where the socket of a run is, in a folder that nobody else can enter."""

import os
import stat
from pathlib import Path

from sgdb_engine.errors import ControlError

MAX_PATH_BYTES = 107
"""Longest address of a Unix socket on Linux: sizeof(sun_path) less its closing zero."""

_TEMPORARY = Path("/tmp")  # noqa: S108 -- what is made in it is checked for owner and mode


def socket_path(run_id: str) -> Path:
    """The socket of a run; its folder exists, is ours and has mode 0700.

    `$XDG_STATE_HOME/sgdb/sock/<id>`, or `/tmp/sgdb-<uid>/<id>` where that is too long or cannot be made.
    Raises ControlError where neither will do.
    """
    if run_id in ("", ".", "..") or "/" in run_id or "\0" in run_id:
        raise ControlError(f"{run_id!r} is no run id: a socket is named after it, so it must be a file name.")
    problems = []
    for choose_folder in (_state_folder, _fallback_folder):
        try:
            path = choose_folder() / run_id
            if len(os.fsencode(path)) > MAX_PATH_BYTES:
                raise ValueError(f"{path} is longer than the {MAX_PATH_BYTES} bytes of a socket address")
            make_private_folder(path.parent)
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: there is no home folder
            problems.append(str(error))
        else:
            return path
    raise ControlError(
        f"No place for the control socket: {'; '.join(problems)}."
        " Set XDG_STATE_HOME to a folder of yours with a short name."
    )


def make_private_folder(folder: Path) -> None:
    """Make the folder if need be, and see that it is a real folder of ours with mode 0700, as tmux does.

    Raises OSError: somebody may have put another folder, or a link, in its place.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to user {found.st_uid}, not to {os.geteuid()}")
    if stat.S_IMODE(found.st_mode) & 0o777 != 0o700:
        mode = stat.S_IMODE(found.st_mode)
        raise PermissionError(f"{folder} has mode {mode:04o}; it must be 0700 (chmod 700 {folder})")


def _state_folder() -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # a relative one is to be ignored, says the XDG specification
        base = Path("~/.local/state").expanduser()
    return base / "sgdb" / "sock"


def _fallback_folder() -> Path:
    return _TEMPORARY / f"sgdb-{os.geteuid()}"
