"""What a forked child shares with its parent: open files and mapped ones. Here it gets its own."""

import ctypes
import errno
import fcntl
import mmap
import os
import posix
import stat

from sgdb_engine.checks.overlay import Overlay, copy_file, refusal

LARGE_BYTES = 2**28
"""What is open for writing and larger is not copied: it can only be read from then on."""
KEPT_FLAGS = os.O_APPEND | os.O_NONBLOCK | os.O_DIRECT | os.O_SYNC
MAP_FIXED = 0x10
MAP_NORESERVE = 0x4000


def detach_open_files(overlay: Overlay, folder: str) -> None:
    """Files that are open are opened again, at the same position: in a copy if they are open for writing.

    The position is shared with the parent otherwise, even of a file that is only read. Pipes, sockets, devices and
    shared memory stay as they are.

    Args:
        overlay: where the copies go.
        folder: where those go whose file has no name any more.
    """
    done: dict[tuple[int, ...], int] = {}
    for fd in sorted(int(name) for name in posix.listdir("/proc/self/fd")):
        try:
            target = posix.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # it was the descriptor of the listing
            continue
        if not overlay.passes(target) and not target.startswith("/memfd:"):
            _detach(overlay, fd, target, folder, done)


def _detach(overlay: Overlay, fd: int, target: str, folder: str, done: dict[tuple[int, ...], int]) -> None:
    """`done`: descriptors by what tells one open file from another; two that were one stay one."""
    status = posix.fstat(fd)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if not stat.S_ISREG(status.st_mode) or flags & os.O_PATH:
        return
    position = posix.lseek(fd, 0, os.SEEK_CUR)
    same = (status.st_dev, status.st_ino, flags, position)
    if same in done:
        posix.dup2(done[same], fd, posix.get_inheritable(fd))
        return
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    try:
        new = _opened_again(overlay, fd, target, flags, folder)
    except OSError:
        if writes:
            raise
        return
    posix.lseek(new, position, os.SEEK_SET)
    posix.dup2(new, fd, posix.get_inheritable(fd))
    posix.close(new)
    done[same] = fd


def _opened_again(overlay: Overlay, fd: int, target: str, flags: int, folder: str) -> int:
    link = f"/proc/self/fd/{fd}"
    status = posix.fstat(fd)
    if flags & os.O_ACCMODE == os.O_RDONLY or status.st_size > LARGE_BYTES:
        return posix.open(link, os.O_RDONLY | os.O_CLOEXEC)
    flags = flags & (os.O_ACCMODE | KEPT_FLAGS) | os.O_CLOEXEC
    if _is(target, status):
        return posix.open(overlay.copy_up(target), flags)
    nameless = f"{folder}/open-{fd}"
    copy_file(link, nameless)
    new = posix.open(nameless, flags)
    posix.unlink(nameless)
    return new


def _is(path: str, status: os.stat_result) -> bool:
    """Whether a path still leads to that file."""
    try:
        found = posix.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def detach_mappings(overlay: Overlay) -> None:
    """Files that are mapped for writing (np.memmap) are mapped again, privately: the child's changes stay its own."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as listing:  # noqa: PTH123
        lines = listing.read().splitlines()
    for line in lines:
        span, rights, offset, _, inode, *rest = line.split(maxsplit=5)
        path = rest[0].replace("\\012", "\n") if rest else ""
        if rights[1] != "w" or rights[3] != "s" or not path.startswith("/") or overlay.passes(path):
            continue
        if path.startswith(("/memfd:", "/SYSV")) or path.endswith(" (deleted)"):
            continue  # memory, or what nobody can open any more
        start, end = (int(side, 16) for side in span.split("-"))
        _map_privately(path, int(inode), start, end - start, int(offset, 16), rights)


def _map_privately(path: str, inode: int, start: int, length: int, offset: int, rights: str) -> None:
    fd = posix.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if posix.fstat(fd).st_ino != inode:
            raise refusal(errno.ESTALE, path)
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        protection = mmap.PROT_WRITE | (mmap.PROT_READ if rights[0] == "r" else 0)
        how = mmap.MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        word = ctypes.c_size_t
        if library.mmap(word(start), word(length), protection, how, fd, ctypes.c_long(offset)) != start:
            raise refusal(ctypes.get_errno(), path)
    finally:
        posix.close(fd)
