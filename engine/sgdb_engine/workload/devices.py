"""Where the training runs."""

import torch

from sgdb_engine.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device of a config: auto is CUDA where there is one. Raises ConfigError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        there = (
            f"there are cuda:0 to cuda:{count - 1}"
            if count
            else 'there is no CUDA device here; use "cpu" or "auto"'
        )
        raise ConfigError([f'run.device = "{name}": {there}'])
    return device


def fits(size_bytes: int, device: torch.device) -> bool:
    """Whether the examples may stay on the device: at most half of what is free there."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size_bytes <= free // 2
