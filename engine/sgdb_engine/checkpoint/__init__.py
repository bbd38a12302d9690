"""Durable state of a training: what is in it, how it is written, how it is read back; no pickle anywhere."""

from sgdb_engine.checkpoint.folder import Checkpoint, load_checkpoint, save_checkpoint
from sgdb_engine.checkpoint.training_state import capture, restore

__all__ = ["Checkpoint", "capture", "load_checkpoint", "restore", "save_checkpoint"]
