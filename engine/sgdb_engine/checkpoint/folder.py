"""Checkpoints on disk: a crash, a full disk or a power cut leaves the old or the new, never a bad one."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from sgdb_engine.checkpoint.encoding import decode, encode
from sgdb_engine.checkpoint.tensor_file import BLOCK_BYTES, safetensors_blocks
from sgdb_engine.errors import CheckpointError

MANIFEST = "MANIFEST.json"
STATE = "state.json"
TENSORS = "tensors.safetensors"
_FORMAT = 1
_UNFINISHED = ".unfinished-"
_NAME = re.compile(r"step-(\d+)-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A state whose every byte is what was written."""

    step: int
    state: Any
    path: Path
    rejected: tuple[tuple[Path, str], ...]
    """Newer ones that are damaged, and why; they are left where they are."""


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any], keep: int = 3) -> Path:
    """Commit the state of a step to `folder/step-<step>-<number of the save>/`, and keep the newest `keep`.

    When it returns, the checkpoint survives a power cut. `state` holds tensors, numbers, strings, None, and
    lists, tuples and dicts of these. One writer to a folder at a time.
    Raises CheckpointError: something in `state` cannot be saved, or the disk refused; the older ones stay.
    """
    tree, tensors = encode(dict(state))
    try:
        contents = {
            TENSORS: safetensors_blocks(tensors),
            STATE: iter([json.dumps(tree, allow_nan=False).encode()]),
        }
        return _commit(folder, step, contents, keep)
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # the disk; a GPU, asked for its tensors; an int too long
        raise CheckpointError(
            f"No checkpoint of step {step} in {folder}: {error}. The older ones there are untouched."
        ) from error


def load_checkpoint(folder: Path) -> Checkpoint:
    """The newest checkpoint whose every byte verifies; tensors are on the CPU.

    Raises CheckpointError where there is none, with what is wrong with each that is there.
    """
    rejected = []
    for path in reversed(_saved(folder)):
        try:
            step = _verify(path)
            tensors = safetensors.torch.load_file(path / TENSORS)
            state = decode(json.loads((path / STATE).read_bytes()), tensors)
        except Exception as error:  # whatever is the matter with it, an older one may be whole
            rejected.append((path, f"{error or type(error).__name__}"))
        else:
            return Checkpoint(step, state, path, tuple(rejected))
    found = "; ".join(f"{path.name}: {reason}" for path, reason in rejected) or "there is none"
    raise CheckpointError(f"No whole checkpoint in {folder}: {found}.")


def _commit(folder: Path, step: int, contents: Mapping[str, Iterator[Any]], keep: int) -> Path:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        _sync_folder(folder.parent)
    _sweep(folder)
    saved = _saved(folder)
    number = 1 + (_order(saved[-1]) if saved else 0)
    final = folder / f"step-{step:08d}-{number:06d}"
    unfinished = folder / f"{_UNFINISHED}{final.name}"
    try:
        unfinished.mkdir(mode=0o700)
        files = {name: _write(unfinished / name, blocks) for name, blocks in contents.items()}
        manifest = {
            "format": _FORMAT,
            "step": step,
            "wall": time.time(),
            "torch": torch.__version__,
            "files": files,
        }
        _write(unfinished / MANIFEST, [_sealed(manifest)])
        _sync_folder(unfinished)
        unfinished.rename(final)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _sync_folder(folder)
    with contextlib.suppress(OSError):  # the new one is safe; what is too many goes next time
        _retire(folder, [*saved, final][:-keep])
    return final


def _write(path: Path, blocks: Iterable[Any]) -> dict[str, int | str]:
    """Write a new file, in this folder and nowhere else, down to the disk; returns its size and sha256."""
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for block in blocks:
            digest.update(block)
            size += len(block)
            left = memoryview(block)
            while left:
                left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return {"sha256": digest.hexdigest(), "size": size}


def _sealed(manifest: Any) -> bytes:
    """The only bytes that stand for this manifest: it carries a checksum of its own."""
    body = json.dumps(manifest, sort_keys=True)
    seal = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"manifest": manifest, "sha256": seal}, indent=1, sort_keys=True).encode()


def _verify(path: Path) -> int:
    """The step of a checkpoint. Raises ValueError or OSError where a byte of it is not what was written."""
    written = b"".join(_blocks(path / MANIFEST))
    try:
        manifest = json.loads(written)["manifest"]
        intact = written == _sealed(manifest)
    except (ValueError, LookupError, TypeError):
        intact = False
    if not intact:
        raise ValueError(f"{MANIFEST} is damaged")
    if manifest["format"] != _FORMAT:
        raise ValueError(f"format {manifest['format']} is not {_FORMAT}, the one this version reads")
    for name in (STATE, TENSORS):
        digest = hashlib.sha256()
        for block in _blocks(path / name):
            digest.update(block)
        if digest.hexdigest() != manifest["files"][name]["sha256"]:
            raise ValueError(f"{name} is damaged: its sha256 is not the one in {MANIFEST}")
    return int(manifest["step"])


def _blocks(path: Path) -> Iterator[bytes]:
    """A regular file in pieces; a link is not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is no regular file")
        while block := file.read(BLOCK_BYTES):
            yield block


def _saved(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the latest saved last: that need not be the highest step."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=_order)


def _order(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[2])


def _retire(folder: Path, outdated: list[Path]) -> None:
    for path in outdated:
        path.rename(folder / f"{_UNFINISHED}{path.name}")  # so that none is ever seen half deleted
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what a save or a removal that was cut short has left."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)
