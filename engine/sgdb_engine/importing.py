"""Something of ours that is to happen when the user's code imports a package, not before.

Environment variables such as OMP_NUM_THREADS and CUDA_VISIBLE_DEVICES count only until the package is imported: a
script that sets them first must find it as fresh as without us.
"""

import contextlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any


@contextlib.contextmanager
def when_imported(name: str, then: Callable[[], None]) -> Iterator[None]:
    """Calls `then` in the thread that imports the top-level package `name`, as soon as it is whole; at once if it is.

    Nothing happens any more when the block is left.
    """
    if name in sys.modules:
        then()
        yield
        return
    finder = _Finder(name, then)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.leave()


class _Finder:
    """Stands first on the import path until the package was found."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then
        self._searching = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that others find, with one more thing to do when the module was executed."""
        if name != self._name or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def leave(self) -> None:
        """Looks for nothing any more."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with contextlib.suppress(AttributeError):
                del loader.exec_module  # it is the loader's own again, whatever happens in it
            execute(module)
            self.leave()
            self._then()

        with contextlib.suppress(
            AttributeError
        ):  # a loader that cannot be followed: the package is not noticed
            loader.exec_module = exec_module
