"""The front door: public names, loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgdb.python import open_config as open_config
    from sgdb.watching import Watch as Watch
    from sgdb.watching import finish as finish
    from sgdb.watching import log as log
    from sgdb.watching import watch as watch
    from sgdb_engine.config import RunConfig as RunConfig
    from sgdb_engine.config import load_config as load_config
    from sgdb_engine.errors import SgdbError as SgdbError
    from sgdb_engine.session import Engine as Engine
    from sgdb_engine.workload import Workload as Workload

    __version__: str

_HOMES = {
    "Engine": "sgdb_engine.session",
    "RunConfig": "sgdb_engine.config",
    "SgdbError": "sgdb_engine.errors",
    "Watch": "sgdb.watching",
    "Workload": "sgdb_engine.workload",
    "finish": "sgdb.watching",
    "load_config": "sgdb_engine.config",
    "log": "sgdb.watching",
    "open_config": "sgdb.python",
    "watch": "sgdb.watching",
}
__all__ = [
    *("Engine", "RunConfig", "SgdbError", "Watch", "Workload", "__version__"),
    *("finish", "load_config", "log", "open_config", "watch"),
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sgdb")
    if name not in _HOMES:
        raise AttributeError(f"module 'sgdb' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
