"""Does a script print the same, and exit with the same code, under sgdb and without it?

    python benchmarks/same_output.py FOLDER_OR_SCRIPT … [--jobs 2]

Runs each script (those directly in a folder, and in its folders) twice in its own folder, with SEED=0 and one thread,
plain and as `sgdb run --headless`; compares stdout and stderr byte for byte, sgdb's own lines on stderr left out.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SGDB = [sys.executable, "-m", "sgdb", "run", "--headless"]
ENVIRONMENT = {**os.environ, "SEED": "0", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    code: int
    stdout: bytes
    stderr: bytes


def run(command: list[str], script: Path) -> Ran:
    done = subprocess.run(
        [*command, str(script)],
        cwd=script.parent,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    theirs = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith(b"sgdb: ")]
    return Ran(done.returncode, done.stdout, b"".join(theirs))


def compare(script: Path) -> tuple[Path, list[str], dict[str, Any]]:
    """What differs, and what sgdb saw."""
    plain = run([sys.executable], script)
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder, "summary.json")
        observed = run([*SGDB, "--runs-dir", folder, "--json", str(summary)], script)
        seen = json.loads(summary.read_text()) if summary.exists() else {}
    return (
        script,
        [f for f in ("code", "stdout", "stderr") if getattr(plain, f) != getattr(observed, f)],
        seen,
    )


def scripts_in(places: list[Path]) -> list[Path]:
    found = []
    for place in places:
        found += sorted([*place.glob("*.py"), *place.glob("*/*.py")]) if place.is_dir() else [place]
    return [script.resolve() for script in found]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    different = 0
    scripts = scripts_in(options.places)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for script, differs, seen in pool.map(compare, scripts):
            different += bool(differs)
            what = f"differs in {', '.join(differs)}" if differs else "the same"
            print(
                f"{script.parent.name}/{script.name:<52} {what:<16} {seen.get('steps', '?')} steps seen",
                flush=True,
            )
    print(f"{len(scripts) - different} of {len(scripts)} scripts print the same and exit with the same code")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
