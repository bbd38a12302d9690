"""Loss functions that are called without training on them: the validation loss between two updates."""

import functools
from typing import Any, Literal

import torch

from sgdb_engine.observe.loaders import Loaders
from sgdb_engine.observe.observer import Observer, is_compiling, this_thread
from sgdb_engine.observe.patches import Function, Patches, unseen_by_warnings
from sgdb_engine.observe.readback import Value, host_value

LOSS_FUNCTIONS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
)
"""Of torch.nn.functional; the modules of torch.nn call them, too."""


class Validation:
    """The losses of an evaluation, until training goes on after it."""

    def __init__(self, observer: Observer, loaders: Loaders) -> None:
        self._observer = observer
        self._loaders = loaders
        self._mode: Literal["none", "certain", "perhaps"] = "none"
        """Whether the newest call of the model was an evaluation; one in eval mode, but with gradients, is perhaps."""
        self._calls = 0
        """Of the model, in this evaluation."""
        self._losses: list[tuple[Value, int]] = []
        """Each with the rows that it is the mean of; 1 where it is not a mean."""
        self._before_call = 0
        """How many of them are of calls before the newest one."""
        self._depth = 0
        self._told = False
        self._last_without_model = 0
        """The step after which losses were last computed without a model that was seen called."""
        self._trains_on_sums = False
        """The training loss is the sum over a batch, not its mean."""

    def install(self, patches: Patches) -> None:
        """Wraps the loss functions from now on."""
        for name in LOSS_FUNCTIONS:
            if hasattr(torch.nn.functional, name):
                patches.replace(torch.nn.functional, name, self._wrap)

    def evaluated(self, certain: bool) -> None:
        """The model is being called without gradients, or with gradients in eval mode, which may be training too."""
        self._mode = "certain" if certain else "perhaps"
        self._calls += 1
        self._before_call = len(self._losses)

    def went_backward(self) -> None:
        """So the newest call was training."""
        if self._mode == "perhaps":
            self._calls -= 1
            del self._losses[self._before_call :]
        self.end()

    def end(self) -> None:
        """Training goes on, or nothing more comes: an evaluation, if there was one, is over."""
        losses, calls = self._losses, self._calls
        counts = self._observer.witness.evaluations.counts
        if losses:
            self._observer.flush()
            self._observer.guarded("findings", self._observer.witness.evaluation_ends, self._observer.step)
        self._losses, self._calls, self._before_call, self._mode = [], 0, 0, "none"
        if losses and not calls and self._is_made_in_each_step():
            return
        if losses:
            self._observer.guarded("pictures", self._observer.pictures.evaluation_ends, counts)
        if losses and self._observer.looks_for_validation and self._observer.told.validated is not None:
            rows = sum(weight for _, weight in losses)
            mean = sum(value * (weight / rows) for value, weight in losses)
            terms = max(1, round(len(losses) / max(1, calls)))  # the losses of one call are summed
            self._say_what_it_is()
            self._observer.flush()
            self._observer.rows.take_now(self._observer.step, {"val/loss": mean * terms}, validation=True)

    @unseen_by_warnings
    def _of_training(self, original: Function, args: Any, kwargs: Any) -> Any:
        self._depth += 1
        try:
            value = original(*args, **kwargs)
        finally:
            self._depth -= 1
        self._observer.guarded(
            "findings", self._observer.witness.lost, original.__name__, args, kwargs, value
        )
        self._observer.pictures.lost(original.__name__, args, kwargs)
        return value

    def _wrap(self, original: Function) -> Function:
        observer, validation = self._observer, self

        @functools.wraps(original)
        def loss(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or observer.thread != this_thread() or validation._depth:
                return original(*args, **kwargs)
            with_gradients = torch.is_grad_enabled()
            if (observer.quick and with_gradients) or not observer.here():
                return original(*args, **kwargs)
            if validation._mode == "none" and (with_gradients or not validation._may_be_one(args, kwargs)):
                if not with_gradients:
                    return original(*args, **kwargs)
                validation._trains_on_sums = kwargs.get("reduction") == "sum"
                return validation._of_training(original, args, kwargs)
            validation._depth += 1
            try:
                value = original(*args, **kwargs)
            finally:
                validation._depth -= 1
            observer.guarded("validation loss", validation._add, original.__name__, value, args, kwargs)
            return value

        # torch.jit.script takes what a function marked so was made from (written so because Python mangles the names)
        vars(loss).update({"__original_fn": original, "__script_if_tracing_wrapper": True})
        return loss

    def _may_be_one(self, args: Any, kwargs: Any) -> bool:
        """Whether a loss without gradients is an evaluation's, although no model was seen called for one.

        Not so of a figure beside the training: on outputs that have gradients, or on the batch of a step.
        """
        output = args[0] if args else kwargs.get("input")
        of_training = isinstance(output, torch.Tensor) and output.requires_grad
        if of_training or self._observer.step_is_under_way or self._loaders.is_within_training_data:
            return False
        self._observer.evaluated()
        return True

    def _is_made_in_each_step(self) -> bool:
        """So that it is a figure beside the training, not an evaluation."""
        step = self._observer.step
        last, self._last_without_model = self._last_without_model, step
        return 0 < step <= last + 1

    def _say_what_it_is(self) -> None:
        if not self._loaders.used and not self._told:
            self._told = True
            self._observer.told.noted(
                "val/loss is the mean of the losses computed without gradients between two steps; where that is on "
                "training data as well, sgdb.log(val_loss=...) is exact"
            )

    def _add(self, name: str, value: Any, args: Any, kwargs: Any) -> None:
        if not isinstance(value, torch.Tensor) or (value.requires_grad and self._mode == "certain"):
            return
        if self._loaders.gave_training_data:  # an evaluation on what is trained on is no validation
            return
        rows = args[0] if args else kwargs.get("input")
        number = rows.shape[0] if isinstance(rows, torch.Tensor) and rows.ndim > 0 else 1
        loss, weight = host_value(value.detach().mean()), max(1, number)
        head = len(self._losses) - self._before_call if self._calls else 0
        if kwargs.get("reduction") == "sum":
            loss, weight = (loss, 1) if self._trains_on_sums else (loss / weight, weight)
        self._losses.append((loss, weight))
        self._observer.guarded(
            "findings", self._observer.witness.evaluated, name, args, kwargs, loss, weight, head
        )
