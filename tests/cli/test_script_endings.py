"""What happens around a script's end, and to its streams: as if Python had run it."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sgdb_engine.recording.folder import read_status
from tests.cli.test_scripts import TRAINS, Write, run, sgdb, the_run, write

__all__ = ["write"]

FAST = {
    "detached stdout": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')\nprint('ä')\n"
    ),
    "redirected until the very end": (
        "import atexit, sys\nsys.stdout = open('printed', 'w')\natexit.register(lambda: print('bye'))\nprint('hello')\n"
    ),
    "a logger that speaks at the end": (
        "import atexit, logging, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "atexit.register(lambda: (open('result', 'w'), logging.warning('bye')))\n"
    ),
    "stdout as a stream": (
        "import io, sys\nprint(isinstance(sys.stdout, io.TextIOBase), sys.stdout is sys.__stdout__)\n"
        "print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering)\n"
        "print(sys.stdout.mode, sys.stdout.name, sys.stdout.fileno())\n"
        "sys.stdout.reconfigure(line_buffering=True)\nsys.__stdout__.write('a')\nsys.stdout.write('b')\n"
        "sys.stdout.buffer.write(b'c\\n')\nwith sys.stdout: print('d')\n"
    ),
    "a link to a script": "print(__file__)\n",
    "an executor that is left open": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        "print(pool.submit(lambda: 'done').result())\n"
    ),
    "a thread that ends after an error": (
        "import sys, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.5), print('thread', file=sys.stderr))).start()\n"
        "raise ValueError('main')\n"
    ),
    "a program that is not there": (
        "import os\ntry: os.execvp('no-such-program', ['no-such-program'])\n"
        "except OSError as error: print(type(error))\n"
    ),
    "a worker that is terminated": (
        "import multiprocessing, os, signal, time\n"
        "worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\nworker.start()\n"
        "time.sleep(0.3)\nworker.terminate()\nworker.join()\nprint(worker.exitcode)\n"
    ),
    "a forked child that comes to the end": (
        "import os\nchild = os.fork()\nif child: print(os.waitpid(child, 0)[1])\nelse: print('child', flush=True)\n"
    ),
}


@pytest.mark.parametrize("name", FAST)
def test_it_prints_and_ends_as_by_python(name: str, write: Write, folder: Path) -> None:
    write(FAST[name], "real/script.py")
    (folder / "train.py").symlink_to("real/script.py")
    plain = run([sys.executable, "train.py"], folder)
    kept = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    began = time.monotonic()
    observed = sgdb(folder, "train.py")
    assert (observed.code, observed.out, observed.err) == (plain.code, plain.out, plain.err)
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    assert time.monotonic() - began < 7, "it waits for nothing"
    assert observed.said.count("recorded in") == 1


@pytest.mark.slow
def test_a_worker_that_outlives_the_end_leaves_the_status_alone(write: Write, folder: Path) -> None:
    write(
        TRAINS + "epoch()\nimport multiprocessing, time\n"
        "multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    assert sgdb(folder, "train.py").code == 0
    status = read_status(the_run(folder))
    assert (status.state, status.step, status.exit_code) == ("finished", 3, 0)


@pytest.mark.slow
def test_a_run_that_ends_with_code_2_keeps_what_it_recorded(write: Write, folder: Path) -> None:
    write(TRAINS + "epoch()\nsys.exit(2)\n")
    assert sgdb(folder, "train.py").code == 2
    status = read_status(the_run(folder))
    assert (status.state, status.step, status.exit_code, status.refused) == ("failed", 3, 2, False)
    assert (the_run(folder) / "summary.json").exists()


@pytest.mark.slow
def test_a_stop_of_a_training_in_a_thread_is_a_stop(write: Write, folder: Path) -> None:
    write(
        TRAINS + "import threading\n"
        "def train():\n    while True: epoch()\n"
        "thread = threading.Thread(target=train)\nthread.start()\nthread.join()\n"
    )
    ran = sgdb(folder, "--max-steps", "30", "train.py")
    assert (ran.code, ran.err) == (0, "")
    assert read_status(the_run(folder)).state == "stopped"


@pytest.mark.slow
def test_no_process_is_left_when_a_headless_run_is_over(write: Write, folder: Path) -> None:
    write(TRAINS + "epoch()\n")
    process = subprocess.Popen([sys.executable, "-m", "sgdb", "run", "--headless", "train.py"], cwd=folder)
    time.sleep(1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert process.wait(60) == 0
    assert not any(child.is_running() for child in children)
