"""What `os` and `open` offer on paths, with the same signatures, on an overlay.

Given a file descriptor they do what the original does. Relative to the descriptor of a folder (`dir_fd`) too, for what
Landlock refuses outside of the overlay; what it does not is refused here.
"""

import _io
import contextlib
import errno
import os
import posix
import stat
from collections.abc import Callable, Iterator
from typing import Any, Self

from sgdb_engine.checks.overlay import Overlay, is_folder, parent, refusal

Name = str | bytes | os.PathLike[str] | os.PathLike[bytes]

READING = {
    "stat": True,
    "lstat": False,
    "access": True,
    "readlink": False,
    "statvfs": True,
    "getxattr": True,
    "listxattr": True,
}
"""Calls that only look at one path, and whether they follow a link there."""
CHANGING = {
    "chmod": True,
    "chown": True,
    "lchown": False,
    "utime": True,
    "truncate": True,
    "setxattr": True,
    "removexattr": True,
}
"""Calls that change one file that is there."""
MAKING = ("mkdir", "mkfifo", "mknod")
BY_DESCRIPTOR = ("fchmod", "fchown")


TREE = ("open", "unlink", "remove", "rmdir", "rename", "replace", "link", "symlink")
WALK = ("listdir", "scandir", "chdir", "getcwd", "getcwdb")


def calls_on(overlay: Overlay) -> dict[str, Callable[..., Any]]:
    """What replaces the functions of `os`, by name."""
    files = FileCalls(overlay)
    calls: dict[str, Callable[..., Any]] = {name: getattr(files, name) for name in TREE + WALK}
    calls |= {name: _Reading(overlay, name, follows) for name, follows in READING.items()}
    calls |= {name: _Changing(overlay, name, follows) for name, follows in CHANGING.items()}
    calls |= {name: _Making(overlay, name) for name in MAKING}
    return calls | {name: _ByDescriptor(overlay, name) for name in BY_DESCRIPTOR}


class FileCalls:
    """Those calls that are like no other."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def _key(self, path: Name) -> str:
        """Of an entry of a folder: a link there is meant itself."""
        return self._overlay.key(os.fsdecode(path), follow=False)

    def open_file(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[str, int], int] | None = None,
    ) -> Any:
        """`builtins.open`; the file keeps the name that it was opened by."""
        if opener is None and not isinstance(file, int):
            opener = self._opened
        return _io.open(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def _opened(self, path: Name, flags: int) -> int:
        return self.open(path, flags, 0o666)

    def open(self, path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is not None:
            return posix.open(path, flags, mode, dir_fd=dir_fd)
        with _told_by(path):
            return posix.open(self._overlay.for_opening(os.fsdecode(path), flags), flags, mode)

    def unlink(self, path: Name, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            posix.unlink(path, dir_fd=dir_fd)
            return
        with _told_by(path):
            key = self._key(path)
            place = self._overlay.there(key)
            if is_folder(place):
                raise refusal(errno.EISDIR, key)
            self._take_away(key, place, posix.unlink)

    remove = unlink

    def rmdir(self, path: Name, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            posix.rmdir(path, dir_fd=dir_fd)
            return
        with _told_by(path):
            key = self._key(path)
            place = self._overlay.there(key)
            if not is_folder(place):
                raise refusal(errno.ENOTDIR, key)
            if not self._overlay.passes(key) and self._overlay.entries(key):
                raise refusal(errno.ENOTEMPTY, key)
            self._take_away(key, place, posix.rmdir)

    def rename(
        self, src: Name, dst: Name, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        if src_dir_fd is not None or dst_dir_fd is not None:
            posix.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return
        with _told_by(src, dst):
            source, target = self._in_a_folder(src), self._in_a_folder(dst)
            if self._overlay.there(source) == self._overlay.place(target):
                return
            if target.startswith(f"{source}/"):
                raise refusal(errno.EINVAL, source)
            if source.startswith(f"{target}/"):
                raise refusal(errno.ENOTEMPTY, target)
            start = source if self._overlay.passes(source) else self._overlay.copy_tree(source)
            end = self._landing(target, is_folder(start))
            self._overlay.hide(source)  # first: it refuses where the original cannot be moved away
            posix.rename(start, end)
            self._overlay.hide(target)

    replace = rename

    def link(
        self,
        src: Name,
        dst: Name,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        if src_dir_fd is not None or dst_dir_fd is not None:
            posix.link(
                src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks
            )
            return
        with _told_by(src, dst):
            source = self._overlay.key(os.fsdecode(src), follow=follow_symlinks)
            start = source if self._overlay.passes(source) else self._overlay.copy_up(source)
            posix.link(start, self._new(self._key(dst)), follow_symlinks=follow_symlinks)

    def symlink(
        self, src: Name, dst: Name, target_is_directory: bool = False, *, dir_fd: int | None = None
    ) -> None:
        if dir_fd is not None:
            posix.symlink(src, dst, target_is_directory, dir_fd=dir_fd)
            return
        with _told_by(src, dst):
            posix.symlink(os.fsdecode(src), self._new(self._key(dst)), target_is_directory)

    def listdir(self, path: Name | int | None = None) -> Any:
        if isinstance(path, int):
            return posix.listdir(path)
        with self.scandir(path) as entries:
            return [entry.name for entry in entries]

    def scandir(self, path: Name | int | None = None) -> Any:
        if isinstance(path, int):
            return posix.scandir(path)
        given = os.fspath("." if path is None else path)
        with _told_by(given):
            found = self._overlay.entries(self._overlay.key(os.fsdecode(given)))
            return Entries([Entry(self._overlay, given, entry) for entry in found.values()])

    def chdir(self, path: Name | int) -> None:
        if isinstance(path, int):
            posix.chdir(path)
            return
        with _told_by(path):
            key = self._overlay.key(os.fsdecode(path))
            # the original if there is one: what does not go through us reads relative paths as well
            posix.chdir(key if self._overlay.shows_original(key) else self._overlay.there(key))

    def getcwd(self) -> str:
        return self._overlay.cwd()

    def getcwdb(self) -> bytes:
        return os.fsencode(self._overlay.cwd())

    def _in_a_folder(self, path: Name) -> str:
        key = self._key(path)
        self._overlay.require_folder(parent(key))
        return key

    def _new(self, key: str) -> str:
        if self._overlay.passes(key):
            return key
        if self._overlay.place(key) is not None:
            raise refusal(errno.EEXIST, key)
        return self._overlay.room_for(key)

    def _take_away(self, key: str, place: str, remove: Callable[[str], None]) -> None:
        self._overlay.hide(key)
        if place != key or self._overlay.passes(key):
            remove(place)

    def _landing(self, key: str, folder: bool) -> str:
        """Where something may be renamed to: over nothing, a file over a file, a folder over an empty one."""
        if self._overlay.passes(key):
            return key
        place = self._overlay.place(key)
        if place is not None:
            if folder and not is_folder(place):
                raise refusal(errno.ENOTDIR, key)
            if is_folder(place) and not folder:
                raise refusal(errno.EISDIR, key)
            if folder and self._overlay.entries(key):
                raise refusal(errno.ENOTEMPTY, key)
        return self._overlay.room_for(key)


class _Call:
    """A function of `os` on one path; an object, so that it binds to no class that keeps it."""

    __slots__ = (
        "__name__",
        "_follows",
        "_original",
        "_overlay",
    )  # no dict in which the original could be found

    def __init__(self, overlay: Overlay, name: str, follows: bool = False) -> None:
        self._overlay = overlay
        self._follows = follows
        self._original: Callable[..., Any] = getattr(posix, name)
        self.__name__ = name

    def _key(self, path: Name, named: dict[str, Any]) -> str:
        follow = self._follows and bool(named.get("follow_symlinks", True))
        return self._overlay.key(os.fsdecode(path), follow=follow)


class _Reading(_Call):
    __slots__ = ()

    def __call__(self, path: Name | int, *args: Any, **named: Any) -> Any:
        if isinstance(path, int) or named.get("dir_fd") is not None:
            return self._original(path, *args, **named)
        with _told_by(path):
            try:
                place = self._overlay.there(self._key(path, named))
            except OSError:
                if self.__name__ == "access":
                    return False
                raise
            # in bytes as asked: the answer of `readlink` is of the same type
            asked = os.fsencode(place) if isinstance(os.fspath(path), bytes) else place
            return self._original(asked, *args, **named)


class _Changing(_Call):
    __slots__ = ()

    def __call__(self, path: Name | int, *args: Any, **named: Any) -> Any:
        if isinstance(path, int):
            _require_own(self._overlay, path)
            return self._original(path, *args, **named)
        if named.get("dir_fd") is not None:
            raise refusal(errno.EACCES, os.fsdecode(path))
        with _told_by(path):
            key = self._key(path, named)
            place = key if self._overlay.passes(key) else self._overlay.copy_up(key)
            return self._original(place, *args, **named)


class _Making(_Call):
    __slots__ = ()

    def __call__(self, path: Name, *args: Any, dir_fd: int | None = None, **named: Any) -> Any:
        if dir_fd is not None:
            return self._original(path, *args, dir_fd=dir_fd, **named)
        with _told_by(path):
            key = self._key(path, named)
            if not self._overlay.passes(key) and self._overlay.place(key) is not None:
                raise refusal(errno.EEXIST, key)
            place = key if self._overlay.passes(key) else self._overlay.room_for(key)
            return self._original(place, *args, **named)


class _ByDescriptor(_Call):
    __slots__ = ()

    def __call__(self, fd: int, *args: Any, **named: Any) -> Any:
        _require_own(self._overlay, fd)
        return self._original(fd, *args, **named)


def _require_own(overlay: Overlay, fd: int) -> None:
    """A file that is open for reading only may be an original, and Landlock guards no modes and times."""
    target = posix.readlink(f"/proc/self/fd/{fd}")
    if target.startswith("/") and not target.startswith("/memfd:") and not overlay.passes(target):
        raise refusal(errno.EACCES, target)


class Entry:
    """As os.DirEntry, of a file that may lie in the overlay."""

    def __init__(self, overlay: Overlay, folder: Any, found: os.DirEntry[str]) -> None:
        self._overlay = overlay
        self._found = found
        self.name: Any = os.fsencode(found.name) if isinstance(folder, bytes) else found.name
        self.path: Any = os.path.join(folder, self.name)  # noqa: PTH118  # may be bytes

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def inode(self) -> int:
        return self._found.inode()

    def is_symlink(self) -> bool:
        return self._found.is_symlink()

    def is_junction(self) -> bool:
        return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        if follow_symlinks and self._found.is_symlink():
            return stat.S_ISDIR(self._mode_behind())
        return self._found.is_dir(follow_symlinks=False)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        if follow_symlinks and self._found.is_symlink():
            return stat.S_ISREG(self._mode_behind())
        return self._found.is_file(follow_symlinks=False)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        if follow_symlinks and self._found.is_symlink():
            with _told_by(self.path):
                return posix.stat(self._overlay.for_reading(os.fsdecode(self.path)))
        return self._found.stat(follow_symlinks=False)

    def _mode_behind(self) -> int:
        try:
            return self.stat().st_mode
        except FileNotFoundError:
            return 0


class Entries:
    """As what os.scandir returns."""

    def __init__(self, entries: list[Entry]) -> None:
        self._left = iter(entries)

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        return next(self._left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._left = iter(())


@contextlib.contextmanager
def _told_by(path: Name, other: Name | None = None) -> Iterator[None]:
    """What is refused is refused by the names that were given, not by those of the overlay."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            error.filename = path
        if error.filename2 is not None:
            error.filename2 = other
        raise
