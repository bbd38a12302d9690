"""One of the processes that `sgdb run --nproc` started by torchrun: `python -m sgdb.rank`."""

import contextlib
import sys
from pathlib import Path

from sgdb.progress import Progress, say
from sgdb_engine.errors import SgdbError
from sgdb_engine.host import run_order
from sgdb_engine.kept_output import output_kept
from sgdb_engine.ranks.place import own_place
from sgdb_engine.torchrun import order_of_this_rank


def main() -> int:
    """Runs the script as this rank; returns its exit code. The first rank tells what there is to tell."""
    order = order_of_this_rank()
    progress = Progress("run", brief=True)
    with contextlib.ExitStack() as stack:
        if not order.detached:  # otherwise what it prints goes there anyway
            stack.enter_context(output_kept(Path(order.folder)))
        try:
            code = run_order(order, progress.told if own_place().rank == 0 else lambda engine: None)
        except SgdbError as error:
            say(str(error))
            return 2
    if progress.refusal:
        say(progress.refusal)
    return code


if __name__ == "__main__":
    sys.exit(main())
