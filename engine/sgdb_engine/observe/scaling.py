"""GradScaler: losses and gradients are seen without the factor that keeps them in the range of float16."""

from typing import Any

import torch

from sgdb_engine.observe.observer import Observer, is_compiling, this_thread
from sgdb_engine.observe.patches import Function, Patches
from sgdb_engine.observe.readback import Value


class Scaling:
    """Watches all scalers that are switched on."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def install(self, patches: Patches) -> None:
        """From now on."""
        scaler = torch.amp.GradScaler
        patches.replace(scaler, "scale", self._scale)
        patches.replace(scaler, "unscale_", self._unscale)
        patches.replace(scaler, "step", self._step)

    def _here(self, scaler: Any) -> bool:
        return self._observer.thread == this_thread() and scaler.is_enabled()

    def _scale(self, original: Function) -> Function:
        def scale(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if not is_compiling() and self._here(scaler):
                self._observer.guarded("scaler", self._scaled, scaler)
            return scaled

        return scale

    def _scaled(self, scaler: Any) -> None:
        value = scaler._scale
        factor: Value = float(value.item()) if value.is_cpu else value.clone()  # it is changed in place
        self._observer.loss.scale = self._observer.gradient_scale = factor
        self._observer.quick = False
        self._observer.logged.add({"amp/scale": factor})

    def _unscale(self, original: Function) -> Function:
        def unscale(scaler: Any, optimizer: Any) -> None:
            original(scaler, optimizer)
            if not is_compiling() and self._here(scaler):
                self._observer.gradient_scale = 1.0

        return unscale

    def _step(self, original: Function) -> Function:
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or not self._here(scaler):
                return original(scaler, optimizer, *args, **kwargs)
            updates = self._observer.updates
            result = original(scaler, optimizer, *args, **kwargs)
            if self._observer.updates == updates:
                self._observer.guarded("scaler", self._skipped, scaler)
            return result

        return step

    def _skipped(self, scaler: Any) -> None:
        self._observer.witness.following.loss_scale = scaler.get_scale()  # to leave it out, it waited itself
        self._observer.skipped()
