"""Where the ranks of a training wait for one another: a rank's own work in a step ends there."""

from typing import Any

import torch

from sgdb_engine.observe.observer import Observer, clock, is_compiling, this_thread
from sgdb_engine.observe.patches import Function, Patches

COLLECTIVES = (
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "send",
)
"""Of torch.distributed, those that a script calls itself."""


class Collectives:
    """Watches the script's own collectives, and DDP's of its buffers; how long they take is waited.

    The gradients of DDP come with the backward, the parameters of FSDP with the forward: from there on waiting and
    working cannot be told apart, nor behind a collective that is awaited later.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def install(self, patches: Patches) -> None:
        """From now on."""
        if not torch.distributed.is_available():
            return
        import torch.distributed.distributed_c10d as c10d

        for name in COLLECTIVES:
            for place in (torch.distributed, c10d):
                if name in vars(place):
                    patches.replace(place, name, self._wrap)
        ddp = torch.nn.parallel.DistributedDataParallel
        if hasattr(ddp, "_sync_buffers"):
            patches.replace(ddp, "_sync_buffers", self._wrap)

    def _wrap(self, original: Function) -> Function:
        observer, name = self._observer, getattr(original, "__name__", "a collective")

        def collective(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or observer.thread != this_thread() or observer.waiting:
                return original(*args, **kwargs)
            if kwargs.get("async_op"):
                observer.own_work_ends()
            began = clock()
            before, observer.phase, observer.waiting = observer.phase, name, True
            try:
                return original(*args, **kwargs)
            finally:
                observer.phase, observer.waiting = before, False
                observer.waited(clock() - began)

        return collective


def waits_in_forward(model: torch.nn.Module) -> bool:
    """Whether a model gathers its parameters from other ranks when it is called: FSDP, of either kind."""
    return type(model).__name__ == "FullyShardedDataParallel" or type(model).__name__.startswith("FSDP")


def waits_in_backward(model: torch.nn.Module) -> bool:
    """Whether its gradients are averaged over the ranks in this backward: DDP, but for micro-batches that it skips."""
    is_ddp = type(model).__name__ == "DistributedDataParallel"
    return is_ddp and bool(getattr(model, "require_backward_grad_sync", True))
