"""Linux lets a process give up writing to files: Landlock, for what no replaced Python function sees."""

import ctypes
import enum
import os
import posix
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls, with the same numbers on every architecture."""
ASK_VERSION = 1
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

WRITE_FILE = 1 << 1
MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
"""Folders, files, links, sockets, FIFOs and devices."""
REFER = 1 << 13
"""Links and renames from one folder into another; refused to everybody before version 2."""
TRUNCATE = 1 << 14
"""Since version 3."""
IN_PLACE = WRITE_FILE | TRUNCATE


class Net(enum.Enum):
    """How much the kernel refuses to the calling process."""

    CLOSED = "closed"
    """Every change of a file's content, and every change of what a folder holds."""
    TRUNCATES = "truncates"
    """The same, but a file may still be cut by its path (Linux before 6.2)."""
    ABSENT = "absent"
    """Nothing."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # what `_pack_` implies; newer Pythons want it said
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def restrict_writes(*, anything_below: Iterable[str], in_place_below: Iterable[str]) -> Net:
    """Takes from this process and all that it starts the right to change files, for good; reading stays free.

    Modes, owners, times and extended attributes are none of Landlock's business, and what is open already stays
    as it is. A process of several threads is not restricted at all: only one of them would be.

    Args:
        anything_below: folders in which all stays allowed; one that does not exist is left out.
        in_place_below: folders whose files may be written to, but where nothing is made or removed.
    """
    version = _syscall(CREATE_RULESET, None, 0, ASK_VERSION)
    if version < 1 or len(posix.listdir("/proc/self/task")) > 1:
        return Net.ABSENT
    handled = (
        WRITE_FILE | MAKE_AND_REMOVE | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    )
    wanted = _Ruleset(handled)
    ruleset = _syscall(CREATE_RULESET, ctypes.byref(wanted), ctypes.sizeof(wanted), 0)
    if ruleset < 0:
        return Net.ABSENT
    try:
        allowed = [(folder, handled) for folder in anything_below]
        allowed += [(folder, handled & IN_PLACE) for folder in in_place_below]
        done = all(_allow(ruleset, folder, rights) for folder, rights in allowed)
        done = done and _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        done = done and _syscall(RESTRICT_SELF, ruleset, 0) == 0
    finally:
        posix.close(ruleset)
    if not done:
        return Net.ABSENT
    return Net.CLOSED if version >= 3 else Net.TRUNCATES


def _allow(ruleset: int, folder: str, rights: int) -> bool:
    try:
        place = posix.open(folder, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        rule = _Beneath(rights, place)
        return _syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0) == 0
    finally:
        posix.close(place)


def _syscall(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None)
    library.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(library.syscall(ctypes.c_long(number), *words))


def _prctl(*arguments: int) -> int:
    return int(ctypes.CDLL(None).prctl(*(ctypes.c_ulong(a) for a in arguments)))
