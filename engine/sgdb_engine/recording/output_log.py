"""output.log: what the training printed, kept under a cap, and its tail for a viewer."""

import os
from collections import deque
from pathlib import Path

from sgdb_engine.recording.files import open_regular
from sgdb_engine.recording.folder import OUTPUT_LOG
from sgdb_engine.text import clean, without_escapes

_CAP_BYTES = 16 * 2**20
_CUT = b"\n[... the middle of the output was left out ...]\n"
_MAX_LINE_BYTES = 64 * 2**10
_MAX_LINE = 2000


class OutputLog:
    """The file that stdout and stderr go to; `fd` may be given to dup2 and to children."""

    def __init__(self, folder: Path, cap_bytes: int = _CAP_BYTES) -> None:
        """Opens or makes the file; raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fd = os.open(folder / OUTPUT_LOG, flags, 0o600)
        self._cap_bytes = cap_bytes

    def trim(self) -> bool:
        """Cuts out the middle if the file is over the cap, and says whether it did; raises OSError.

        To be called now and then. Other processes may be writing: they append, so all they can lose is what
        they write between two neighbouring system calls here.
        """
        size = os.fstat(self.fd).st_size
        if size <= self._cap_bytes:
            return False
        head = self._cap_bytes // 4
        read_to = size
        tail = os.pread(self.fd, self._cap_bytes // 2, size - self._cap_bytes // 2)
        while (size := os.fstat(self.fd).st_size) > read_to:
            tail += os.pread(self.fd, size - read_to, read_to)
            read_to = size
        os.ftruncate(self.fd, head)
        os.write(self.fd, _CUT + tail.partition(b"\n")[2])
        return True

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self.fd)


class TailReader:
    """The last lines of a growing output.log as a terminal would show them, cleaned; bounded."""

    def __init__(self, path: Path, max_lines: int = 1000, max_bytes: int = 256 * 2**10) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._offset = 0
        self._unfinished = b""
        self._lines: deque[str] = deque(maxlen=max_lines)
        self.num_finished = 0
        """Finished lines read so far, those that are no longer kept included."""

    def poll(self) -> bool:
        """Reads what was added, the last `max_bytes` of it; says whether there was anything."""
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:  # the middle was cut out
                    self._skip_to(max(0, size - self._max_bytes))
                    self._lines.clear()
                if size - self._offset > self._max_bytes:
                    self._skip_to(size - self._max_bytes)
                file.seek(self._offset)
                added = file.read(self._max_bytes)
        except OSError:
            return False
        self._offset += len(added)
        *lines, unfinished = (self._unfinished + added).split(b"\n")
        self._lines.extend(map(_shown, lines))
        self.num_finished += len(lines)
        self._unfinished = unfinished[-_MAX_LINE_BYTES:]
        return bool(added)

    def lines(self) -> tuple[str, ...]:
        """The last lines, the unfinished one included."""
        return (*self._lines, self.unfinished()) if self._unfinished else tuple(self._lines)

    def unfinished(self) -> str:
        """The line that is being written: a progress bar, a prompt; empty if there is none."""
        return _shown(self._unfinished) if self._unfinished else ""

    def _skip_to(self, offset: int) -> None:
        self._offset = offset
        self._unfinished = b""


def _shown(line: bytes) -> str:
    """A progress bar overwrites its line after each "\\r": what stands there in the end."""
    text = line[-_MAX_LINE_BYTES:].decode("utf-8", "replace").rstrip("\r")
    return clean(without_escapes(text.rpartition("\r")[2]).expandtabs(8), _MAX_LINE)
