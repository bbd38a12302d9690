"""Files as a run folder wants them: no links followed, for the owner alone, whole or not at all."""

import os
import stat
from pathlib import Path


def open_regular(path: Path) -> int:
    """A read-only descriptor of a regular file; OSError if it is a link or anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor


def write_atomically(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one, whole; for its owner alone. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


class AppendFile:
    """A file that one writer appends to, chunk by chunk: a chunk is whole in it or absent.

    Written at a remembered offset: O_APPEND is never atomic on network file systems.
    """

    def __init__(self, path: Path, offset: int) -> None:
        """Opens or creates the file and cuts it to `offset` bytes; raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self.offset = offset
        os.ftruncate(self._descriptor, offset)

    def append(self, chunk: bytes) -> None:
        """Writes the chunk at the end; raises OSError, with the file cut back to what it was."""
        rest = memoryview(chunk)
        end = self.offset
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, end)
                end += written
                rest = rest[written:]
        except OSError:
            # Needs no space; should it fail, the next chunk is written over the rest.
            os.ftruncate(self._descriptor, self.offset)
            raise
        self.offset = end

    def sync(self) -> None:
        """Waits until it is on the disk; raises OSError."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Lets go of the file; what was appended stays."""
        os.close(self._descriptor)
