"""Two layers of files seen as one: the originals, which nothing writes to, and below `scratch` what replaces them.

A key is an absolute path without links, as the child sees the world; a place is where that lies in truth. All calls go
to `posix`, whose functions nobody replaces.
"""

import errno
import os
import posix
import stat

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MOST_LINKS = 40
BLOCK_BYTES = 2**20
LEFT_AS_THEY_ARE = ("/dev", "/proc", "/sys")


class Overlay:
    """Knows for each path where to read it and where to write it."""

    def __init__(self, scratch: str) -> None:
        """Starts with nothing replaced; `scratch` exists, and its path is absolute and without links."""
        self._scratch = scratch
        self._files = f"{scratch}/files"
        self._gone: set[str] = set()
        """Keys whose original, with all below it, is not seen any more."""
        posix.mkdir(self._files)

    # -- paths ---------------------------------------------------------------------------------------------

    def key(self, name: str, *, follow: bool = True) -> str:
        """The absolute path, all links on the way resolved; the last part's own only with `follow`."""
        if not name:
            raise refusal(errno.ENOENT, name)
        where = "/" if name.startswith("/") else self.cwd()
        rest = name.split("/")[::-1]
        num_links = 0
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                self.require_folder(where)
                where = parent(where)
                continue
            step = child(where, part)
            target = self._target(step) if follow or any(rest) else None
            if target is None:
                where = step
                continue
            num_links += 1
            if num_links > MOST_LINKS:
                raise refusal(errno.ELOOP, name)
            where = "/" if target.startswith("/") else where
            rest += target.split("/")[::-1]
        return self._seen_as(where)

    def cwd(self) -> str:
        """The working directory, which may lie in the overlay only."""
        return self._seen_as(posix.getcwd())

    def passes(self, key: str) -> bool:
        """Whether a path is left alone: the scratch folder, devices, /proc."""
        return any(key == top or key.startswith(f"{top}/") for top in (self._scratch, *LEFT_AS_THEY_ARE))

    def _seen_as(self, path: str) -> str:
        inside = path == self._files or path.startswith(f"{self._files}/")
        return (path[len(self._files) :] or "/") if inside else path

    def _target(self, step: str) -> str | None:
        for place in (self._files + step, step):
            if place == step and self._hidden(step):
                break
            try:
                target = posix.readlink(place)
            except OSError as error:
                if error.errno == errno.EINVAL:  # it is there, and is no link
                    break
                continue
            # links in /proc may name a pipe, or a file that was removed
            magic = step.startswith("/proc/") and not exists(
                target if target.startswith("/") else child(parent(step), target)
            )
            return None if magic else target
        return None

    # -- looking -------------------------------------------------------------------------------------------

    def place(self, key: str) -> str | None:
        """Where what is seen at a key lies; None where nothing is."""
        if self.passes(key):
            return key
        if exists(self._files + key):
            return self._files + key
        return key if self.shows_original(key) else None

    def for_reading(self, name: str, *, follow: bool = True) -> str:
        """Where to read a path."""
        return self.there(self.key(name, follow=follow))

    def there(self, key: str) -> str:
        """The place of what is seen at a key; refuses where nothing is."""
        place = self.place(key)
        if place is None:
            raise self._absence(key)
        return place

    def _absence(self, key: str) -> OSError:
        above = parent(key)
        while (place := self.place(above)) is None:
            above = parent(above)
        return refusal(errno.ENOENT if is_folder(place) else errno.ENOTDIR, key)

    def require_folder(self, key: str) -> None:
        """Refuses what is no folder."""
        if not is_folder(self.there(key)):
            raise refusal(errno.ENOTDIR, key)

    def shows_original(self, key: str) -> bool:
        """Whether there is an original of that name which nobody removed."""
        return not self._hidden(key) and exists(key)

    def entries(self, key: str) -> dict[str, os.DirEntry[str]]:
        """What a folder holds in both layers, by name."""
        over = self._files + key
        replaced = exists(over)
        found: dict[str, os.DirEntry[str]] = {}
        if self.shows_original(key) and (not replaced or is_folder(over)):
            with posix.scandir(key) as listing:
                found = {entry.name: entry for entry in listing if child(key, entry.name) not in self._gone}
        elif not replaced:
            raise self._absence(key)
        if replaced:
            with posix.scandir(over) as listing:
                found |= {entry.name: entry for entry in listing}
        return found

    def _hidden(self, key: str) -> bool:
        if not self._gone:
            return False
        while key not in self._gone and key != "/":
            key = parent(key)
        return key in self._gone

    # -- changing ------------------------------------------------------------------------------------------

    def for_opening(self, name: str, flags: int) -> str:
        """Where `open` with these flags may go: a copy is there in time if the old content is wanted."""
        follow = not flags & (os.O_NOFOLLOW | os.O_EXCL)
        if not flags & WRITING:
            return self.for_reading(name, follow=follow)
        key = self.key(name, follow=follow)
        place = self.place(key)
        if place is None:
            if not flags & os.O_CREAT:
                raise self._absence(key)
            return self.room_for(key)
        if place != key or self.passes(key):
            return place
        mode = posix.lstat(place).st_mode
        if flags & os.O_TMPFILE == os.O_TMPFILE and stat.S_ISDIR(
            mode
        ):  # a file without a name, in that folder
            return parent(self.room_for(child(key, "none")))
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise refusal(errno.EEXIST, key)
        if stat.S_ISDIR(mode):
            raise refusal(errno.EISDIR, key)
        if not stat.S_ISREG(mode):  # a FIFO or a device
            return place
        if not posix.access(place, os.W_OK):
            raise refusal(errno.EACCES, key)
        return self.copy_up(key, content=not flags & os.O_TRUNC)

    def room_for(self, key: str) -> str:
        """The place of something new, in a folder that is there; refuses where the original would."""
        folder = parent(key)
        self.require_folder(folder)
        self._require_writable(folder)
        self._mirror(folder)
        return self._files + key

    def copy_up(self, key: str, *, content: bool = True) -> str:
        """The overlay's version of what is seen at a key, made of the original if there is none."""
        over = self._files + key
        if exists(over):
            return over
        if not self.shows_original(key):
            raise self._absence(key)
        mode = posix.lstat(key).st_mode
        self._mirror(key if stat.S_ISDIR(mode) else parent(key))
        if stat.S_ISLNK(mode):
            posix.symlink(posix.readlink(key), over)
        elif stat.S_ISREG(mode):
            copy_file(key, over, content=content)
        elif not stat.S_ISDIR(mode):
            raise refusal(errno.EPERM, key)
        return over

    def copy_tree(self, key: str) -> str:
        """The same with all that is below it."""
        if self._scratch.startswith(f"{key}/"):
            raise refusal(errno.EBUSY, key)
        over = self.copy_up(key)
        if is_folder(over):
            for name in self.entries(key):
                self.copy_tree(child(key, name))
        return over

    def hide(self, key: str) -> None:
        """The original at a key is not seen any more; refuses where it could not be removed."""
        if not self.passes(key) and self.shows_original(key):
            self._require_writable(parent(key))
            self._gone.add(key)

    def _require_writable(self, folder: str) -> None:
        if self.shows_original(folder) and not posix.access(folder, os.W_OK | os.X_OK):
            raise refusal(errno.EACCES, folder)

    def _mirror(self, folder: str) -> None:
        over = self._files + folder
        if exists(over):
            return
        self._mirror(parent(folder))
        try:
            posix.mkdir(over)
        except FileExistsError:  # a worker was faster
            return
        posix.chmod(over, stat.S_IMODE(posix.stat(folder).st_mode) | stat.S_IRWXU)


def parent(key: str) -> str:
    """The folder of a key; that of / is itself."""
    return key.rpartition("/")[0] or "/"


def child(key: str, name: str) -> str:
    """The key of a name in a folder."""
    return f"{key.rstrip('/')}/{name}"


def exists(place: str) -> bool:
    """Whether there is something, be it a link that leads nowhere."""
    try:
        posix.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # cannot be looked at: whoever opens it is told why
        return True
    return True


def is_folder(place: str) -> bool:
    """Whether a place is a folder; a link to one is not."""
    return stat.S_ISDIR(posix.lstat(place).st_mode)


def refusal(number: int, name: str) -> OSError:
    """What the system would raise."""
    return OSError(number, os.strerror(number), name)


def copy_file(source: str, target: str, *, content: bool = True) -> None:
    """Copies a file with its mode and times to a new place, or not at all."""
    reading = posix.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = posix.fstat(reading)
        space = posix.statvfs(parent(target))
        if content and status.st_size > space.f_bavail * space.f_frsize // 2:  # never fills the user's disk
            raise refusal(errno.ENOSPC, target)
        writing = posix.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if content:
                while block := posix.read(reading, BLOCK_BYTES):
                    _write_all(writing, block)
            posix.chmod(writing, stat.S_IMODE(status.st_mode))
            posix.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
        except BaseException:
            posix.unlink(target)
            raise
        finally:
            posix.close(writing)
    finally:
        posix.close(reading)


def _write_all(writing: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[posix.write(writing, rest) :]
