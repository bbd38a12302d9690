"""run.toml → checked records."""

from pathlib import Path

from sgdb_engine.config.reading import load_config, parse_config
from sgdb_engine.config.records import RunConfig, as_dict

COMMENTED_CONFIG = (Path(__file__).parent / "commented.toml").read_text(encoding="utf-8")
"""What `sgdb init` writes: a config that trains, each key explained."""

__all__ = ["COMMENTED_CONFIG", "RunConfig", "as_dict", "load_config", "parse_config"]
