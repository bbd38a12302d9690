"""Whatever a protected child does to files, the user's folder stays as it is, and the child does not notice."""

import ctypes
import io
import logging
import os
import pickle
import random
import shutil
import subprocess
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.utils.data import DataLoader, TensorDataset

from sgdb_engine.checks import scratch
from sgdb_engine.checks.landlock import Net
from sgdb_engine.checks.overlay import Overlay
from sgdb_engine.checks.scratch import protect_files

State = dict[str, tuple[int, int, bytes]]
InChild = Callable[[Callable[[], object]], Any]


def state_of(folder: Path) -> State:
    """All that is below a folder, with mode, time and content."""
    state: State = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b"" if path.is_symlink() or path.is_dir() else path.read_bytes()
        content = os.readlink(path).encode() if path.is_symlink() else content
        state[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return state


def forked(work: Callable[[], object]) -> Any:
    """What a function returns in a forked child, or its traceback."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests leave threads behind
        pid = os.fork()
    if pid == 0:
        try:
            torch.set_num_threads(1)
            answer: object = ("done", work())
        except BaseException:
            answer = ("raised", traceback.format_exc())
        with io.FileIO(writing, "w") as pipe:
            pipe.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe_end:
        told = pipe_end.read()
    os.waitpid(pid, 0)
    how, value = pickle.loads(told)
    assert how == "done", value
    return value


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a user, in which the test works; nothing in it may have changed at the end."""
    torch.set_num_threads(1)
    folder = tmp_path / "user"
    (folder / "out" / "old").mkdir(parents=True)
    (folder / "empty").mkdir()
    torch.save({"epoch": 7}, folder / "model.pt")
    (folder / "log.txt").write_text("first\n")
    (folder / "out" / "metrics.json").write_text("[1, 2]")
    (folder / "out" / "old" / "note").write_text("kept")
    (folder / "latest").symlink_to("out")
    np.save(folder / "array.npy", np.arange(6))
    monkeypatch.chdir(folder)
    before = state_of(folder)
    yield folder
    assert state_of(folder) == before


@pytest.fixture
def short() -> Iterator[Path]:
    """An empty folder with a short path: sockets are made below it."""
    with tempfile.TemporaryDirectory(prefix="sgdb-") as folder:
        yield Path(folder)


@pytest.fixture
def in_child(short: Path) -> InChild:
    """Calls a function in a protected child and returns what it returned."""

    def call(work: Callable[[], object]) -> Any:
        def protected() -> object:
            protect_files(short)
            return work()

        return forked(protected)

    return call


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Net:
    """What the kernel of this machine can do."""
    return Net[forked(lambda: protect_files(tmp_path_factory.mktemp("scratch")).name)]


# -- what scripts do --------------------------------------------------------------------------------------


def test_a_checkpoint_that_is_opened_first_and_filled_at_the_end(in_child: InChild) -> None:
    def script() -> object:
        with open("model.pt", "wb") as file:
            torch.save({"epoch": 8}, file)
        return torch.load("model.pt"), os.path.getsize("model.pt") > 0

    assert in_child(script) == ({"epoch": 8}, True)


def test_a_checkpoint_of_each_epoch_written_in_cpp(in_child: InChild) -> None:
    def script() -> object:
        for epoch in range(3):
            torch.save({"epoch": epoch}, "model.pt")
            torch.save({"epoch": epoch}, Path("out") / f"{epoch}.pt")
        return torch.load("model.pt"), sorted(os.listdir("out")), torch.load("out/1.pt", mmap=True)

    listing = ["0.pt", "1.pt", "2.pt", "metrics.json", "old"]
    assert in_child(script) == ({"epoch": 2}, listing, {"epoch": 1})


def test_savers_that_were_imported_by_name(in_child: InChild, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in (("saved", torch.save), ("removed", os.remove), ("opened", open)):
        monkeypatch.setitem(globals(), name, function)

    def script() -> object:
        names: Any = globals()
        names["saved"](1, "model.pt")
        names["removed"]("log.txt")
        with names["opened"]("new", "w") as file:
            file.write("x")
        return torch.load("model.pt"), os.path.exists("log.txt"), Path("new").read_text()

    assert in_child(script) == (1, False, "x")


def test_safetensors(in_child: InChild) -> None:
    def script() -> object:
        safetensors.torch.save_file({"a": torch.ones(2)}, "weights.safetensors")
        safetensors.torch.save_file({"a": torch.zeros(2)}, Path("out/weights.safetensors"))
        with safetensors.safe_open("out/weights.safetensors", framework="pt") as file:
            read = file.get_tensor("a").tolist()
        return safetensors.torch.load_file("weights.safetensors")["a"].tolist(), read

    assert in_child(script) == ([1, 1], [0, 0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_script_modules(in_child: InChild) -> None:
    def script() -> object:
        module = torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1, 1))
        torch.jit.save(module, "model.pt")
        module.save("second.pt")
        return [type(torch.jit.load(name)).__name__ for name in ("model.pt", "second.pt")]

    assert in_child(script) == ["RecursiveScriptModule"] * 2


def test_a_log_that_is_appended_to(in_child: InChild) -> None:
    def script() -> object:
        for line in ("second", "third"):
            with open("log.txt", "a") as file:
                file.write(f"{line}\n")
        with open("log.txt", "r+") as file:
            file.write("FIRST")
        return Path("log.txt").read_text(), file.name

    assert in_child(script) == ("FIRST\nsecond\nthird\n", "log.txt")


def test_pathlib(in_child: InChild) -> None:
    def script() -> object:
        Path("log.txt").write_text("new")
        folder = Path("runs/1")
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("a")
        (folder / "a.txt").rename("b.txt")
        Path("out/old/note").unlink()
        Path("empty").rmdir()
        names = sorted(path.name for path in Path.cwd().iterdir())
        found = sorted(str(path) for path in Path().rglob("*t*s*"))
        return Path("log.txt").read_text(), Path("b.txt").read_text(), names, found

    names = ["array.npy", "b.txt", "latest", "log.txt", "model.pt", "out", "runs"]
    assert in_child(script) == ("new", "a", names, ["latest", "out/metrics.json"])


def test_a_file_that_takes_the_place_of_another(in_child: InChild) -> None:
    def script() -> object:
        with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as near:
            near.write("near")
        os.replace(near.name, "log.txt")
        first = Path("log.txt").read_text()
        with tempfile.NamedTemporaryFile("w", delete=False) as far:
            far.write("far")
        shutil.move(far.name, "log.txt")
        with tempfile.NamedTemporaryFile("w", dir="out") as passing:
            assert os.path.exists(passing.name)
        return first, Path("log.txt").read_text(), sorted(os.listdir("out")), len(os.listdir("."))

    assert in_child(script) == ("near", "far", ["metrics.json", "old"], 6)


def test_an_output_folder_that_is_cleared_and_made_again(in_child: InChild) -> None:
    def script() -> object:
        shutil.rmtree("out")
        gone = os.path.exists("out/old/note"), os.path.lexists("latest"), os.path.exists("latest")
        os.makedirs("out/old")
        return gone, os.listdir("out"), os.listdir("latest/old")

    assert in_child(script) == ((False, True, False), ["old"], [])


def test_a_folder_that_is_renamed_goes_with_all_it_holds(in_child: InChild) -> None:
    def script() -> object:
        os.rename("out", "kept")
        Path("kept/old/note").write_text("changed")
        return os.path.exists("out"), sorted(str(p) for p in Path("kept").rglob("*"))

    assert in_child(script) == (False, ["kept/metrics.json", "kept/old", "kept/old/note"])


def test_through_a_link_to_a_folder(in_child: InChild) -> None:
    def script() -> object:
        Path("latest/metrics.json").write_text("[3]")
        os.remove("latest")
        os.symlink("out/old", "latest")
        Path("latest/note").write_text("new")
        return Path("out/metrics.json").read_text(), Path("out/old/note").read_text(), os.readlink(b"latest")

    assert in_child(script) == ("[3]", "new", b"out/old")


def test_arrays(in_child: InChild) -> None:
    def script() -> object:
        np.save("array.npy", np.zeros(2))
        np.savez("arrays.npz", a=np.ones(2))
        np.savetxt("array.txt", np.ones(2))
        np.ones(3, np.int8).tofile("raw")
        np.memmap("raw", np.int8, "r+")[1] = 9
        with np.load("arrays.npz") as arrays:
            return np.load("array.npy").tolist(), arrays["a"].tolist(), np.fromfile("raw", np.int8).tolist()

    assert in_child(script) == ([0, 0], [1, 1], [1, 9, 1])


def test_paths_in_bytes_and_relative_to_another_folder(in_child: InChild, user: Path) -> None:
    def script() -> object:
        os.mkdir("runs")
        os.chdir("runs")
        here = os.getcwd()
        with open(b"../log.txt", "ab") as file:
            file.write(b"second\n")
        Path("new").write_text("x")
        os.chdir("../out")
        Path("../runs/more").write_text("y")
        names = sorted(os.listdir(b"../runs")), sorted(entry.name for entry in os.scandir(b"../runs"))
        return here, Path("../log.txt").read_text(), names, os.getcwd()

    names = [b"more", b"new"]
    assert in_child(script) == (str(user / "runs"), "first\nsecond\n", (names, names), str(user / "out"))


def test_modes_and_times(in_child: InChild) -> None:
    def script() -> object:
        os.chmod("log.txt", 0o600)
        os.utime("model.pt", (1, 2))
        os.truncate("out/metrics.json", 1)
        shutil.copy2("log.txt", "out/copy")
        with open("array.npy", "rb") as original, pytest.raises(PermissionError):
            os.fchmod(original.fileno(), 0)
        Path("array.npy").touch()
        with open("array.npy", "rb") as copy:
            os.fchmod(copy.fileno(), 0o640)
        return [os.stat(name).st_mode & 0o777 for name in ("log.txt", "array.npy")], os.path.getmtime(
            "model.pt"
        )

    assert in_child(script) == ([0o600, 0o640], 2)


def test_workers_of_a_loader(in_child: InChild) -> None:
    def script() -> object:
        data = TensorDataset(torch.arange(8.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loader = DataLoader(data, batch_size=4, num_workers=2, persistent_workers=True)
            return [sum(batch[0].sum().item() for batch in loader) for _ in range(2)]

    assert in_child(script) == [28, 28]


# -- what was open before ---------------------------------------------------------------------------------


def test_files_that_were_open_before_the_fork(in_child: InChild, user: Path) -> None:
    writing = open("log.txt", "a")  # noqa: SIM115
    nameless = tempfile.TemporaryFile()  # noqa: SIM115
    nameless.write(b"abc")
    nameless.flush()
    reading = open("out/metrics.json", "rb", buffering=0)  # noqa: SIM115
    reading.read(1)
    handler = logging.FileHandler("log.txt")
    record = logging.makeLogRecord({"msg": "logged"})

    def script() -> object:
        writing.write("written\n")
        writing.flush()
        handler.emit(record)
        nameless.write(b"def")
        nameless.seek(0)
        return Path("log.txt").read_text(), nameless.read(), reading.read()

    with writing, nameless, reading:
        assert in_child(script) == ("first\nwritten\nlogged\n", b"abcdef", b"1, 2]")
        assert reading.read() == b"1, 2]"  # the position is the parent's own
        nameless.seek(0)
        assert nameless.read() == b"abc"
    handler.close()


def test_arrays_that_were_mapped_before_the_fork(in_child: InChild) -> None:
    mapped = np.lib.format.open_memmap("array.npy", mode="r+")

    def script() -> object:
        mapped[2] = 100
        mapped.flush()
        return mapped.tolist()

    assert in_child(script) == [0, 1, 100, 3, 4, 5]
    assert mapped.tolist() == [0, 1, 2, 3, 4, 5]


# -- the net ----------------------------------------------------------------------------------------------


def test_what_does_not_go_through_python_is_refused_by_the_kernel(in_child: InChild, net: Net) -> None:
    if net is not Net.CLOSED:
        pytest.skip("this kernel has no Landlock, or an old one")

    def script() -> object:
        here = os.open(".", os.O_RDONLY)
        refused = []
        for act in (
            lambda: os.open("log.txt", os.O_WRONLY, dir_fd=here),
            lambda: os.unlink("log.txt", dir_fd=here),
            lambda: os.mkdir("made", dir_fd=here),
            lambda: io.FileIO("log.txt", "w"),
            lambda: os.chmod("log.txt", 0, dir_fd=here),
        ):
            try:
                act()
            except PermissionError:
                refused.append(True)
        libc = ctypes.CDLL(None)
        refused += [libc.truncate(b"log.txt", 0) < 0, libc.open(b"log.txt", os.O_RDWR) < 0]
        refused += [libc.rename(b"log.txt", b"other") < 0, libc.link(b"log.txt", b"other") < 0]
        shells = ("echo x > log.txt", "rm -r out", "mkdir made", "mv log.txt other")
        codes = [subprocess.run(["sh", "-c", line], stderr=subprocess.DEVNULL).returncode for line in shells]
        quiet = subprocess.run(
            ["sh", "-c", "echo x > /dev/null; echo x > $TMPDIR/x; cat $TMPDIR/x"], stdout=-1
        )
        return refused, [code != 0 for code in codes], quiet.stdout

    assert in_child(script) == ([True] * 9, [True] * 4, b"x\n")


def test_where_there_is_no_landlock_the_answer_says_so(
    in_child: InChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "restrict_writes", lambda **_: Net.ABSENT)

    def script() -> object:
        Path("log.txt").write_text("new")
        os.remove("model.pt")
        torch.save(1, "latest/new.pt")
        Path("/proc/self/cwd/log.txt").write_text("newer")
        return Path("log.txt").read_text()

    assert in_child(script) == "newer"


def test_an_error_of_ours_is_no_write(in_child: InChild, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(overlay: Overlay, *args: object, **named: object) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr(scratch, "restrict_writes", lambda **_: Net.ABSENT)
    monkeypatch.setattr(Overlay, "key", broken)

    def script() -> object:
        raised = 0
        acts: tuple[Callable[[], object], ...] = (
            lambda: Path("log.txt").write_text("x"),
            lambda: torch.save(1, "model.pt"),
            lambda: os.remove("log.txt"),
            lambda: os.rename("log.txt", "other"),
            lambda: os.mkdir("made"),
            lambda: os.truncate("log.txt", 0),
        )
        for act in acts:
            try:
                act()
            except RuntimeError:
                raised += 1
        return raised

    assert in_child(script) == 6


# -- the obvious twin: the same on a folder that nobody protects ------------------------------------------

PLACES = [
    "log.txt",
    "model.pt",
    "out",
    "out/old",
    "out/old/note",
    "latest",
    "latest/x",
    "new",
    "new/y",
    "empty",
]
PLACES += [
    "empty/z",
    "out/metrics.json",
    "latest/old",
    "nowhere/q",
    "loop",
    "../user/log.txt",
    "out/../empty",
]


def wander(seed: int) -> list[object]:
    """A few hundred random calls in the working directory, with what each gave, and all that is there at the end."""
    chance = random.Random(seed)
    told: list[object] = []
    for _ in range(300):
        one, other = chance.choice(PLACES), chance.choice(PLACES)
        act = chance.choice(ACTS)
        try:
            answer = act(one, other)
        except OSError as error:
            answer = (error.errno, os.fsdecode(error.filename or ""))
        told.append((act.__name__, one, other, answer))
    told.append([(where, sorted(folders), sorted(names)) for where, folders, names in sorted(os.walk("."))])
    return told


def writes(one: str, other: str) -> object:
    with open(one, "w") as file:
        return file.write(other)


def appends(one: str, other: str) -> object:
    with open(one, "ab") as file:
        file.write(other.encode())
        return file.tell()


def creates(one: str, other: str) -> object:
    with open(one, "x") as file:
        return file.write(other)


def reads(one: str, other: str) -> object:
    with open(one, "rb") as file:
        return file.read()


def lists(one: str, other: str) -> object:
    with os.scandir(one) as entries:
        return sorted((e.name, e.path, e.is_dir(), e.is_file(), e.is_symlink()) for e in entries)


def looks(one: str, other: str) -> object:
    found = [look(one) for look in (os.path.exists, os.path.isdir, os.path.isfile, os.path.islink)]
    return found, os.lstat(one).st_mode, os.stat(one).st_mode, os.access(one, os.R_OK)


def removes(one: str, other: str) -> object:
    return os.remove(one)


def removes_folder(one: str, other: str) -> object:
    return os.rmdir(one)


def makes(one: str, other: str) -> object:
    return os.mkdir(one)


def renames(one: str, other: str) -> object:
    return os.rename(one, other)


def links(one: str, other: str) -> object:
    return os.symlink(one, other)


def reads_link(one: str, other: str) -> object:
    return os.readlink(one)


def shares(one: str, other: str) -> object:
    return os.link(one, other, follow_symlinks=False)


def cuts(one: str, other: str) -> object:
    return os.truncate(one, 2)


ACTS: tuple[Callable[[str, str], object], ...] = (writes, appends, creates, reads, lists, looks, removes)
ACTS += (removes_folder, makes, renames, links, reads_link, shares, cuts)


@pytest.mark.parametrize("seed", range(12))
def test_random_calls_answer_as_on_an_unprotected_copy(
    seed: int, in_child: InChild, user: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "twin" / "user"
    shutil.copytree(user, twin, symlinks=True)

    def on_the_twin() -> object:
        os.chdir(twin)
        return wander(seed)

    expected = forked(on_the_twin)
    for number, (mine, theirs) in enumerate(zip(in_child(lambda: wander(seed)), expected, strict=True)):
        assert mine == theirs, number
