"""What a run is told to do: one frozen record for each table of a config."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=10**12)]
CountOrZero = Annotated[int, Meta(ge=0, le=10**12)]
Size = Annotated[int, Meta(ge=1, le=65_536)]
"""Of a layer, or of a stack of layers: what fits into a machine."""
LARGEST = 1e300
"""Bound of numbers that have no other: it keeps infinity out."""
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
UnitInterval = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
RunName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
Device = Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")]
ImportPath = Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
Character = Annotated[str, Meta(min_length=1, max_length=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the config."""


class RunSection(Section, frozen=True, kw_only=True):
    """[run]"""

    name: RunName = "run"
    """Of the run folder; the config's file name where it is left out."""
    seed: Seed = 0
    device: Device = "auto"


class DataSection(Section, frozen=True, kw_only=True):
    """[data]: what every data set has; those with keys of their own have a record below."""

    name: str | None = None
    use: ImportPath | None = None
    validation: Fraction = 0.2
    """Share of the examples that is held out, drawn once by the seed."""
    normalise: bool = True
    """Mean 0, standard deviation 1 by the statistics of the training examples: images per channel, tables per
    column. Regression targets too."""
    random_labels: bool = False
    """Permute the targets of the training examples: what is then learnt is memory (Zhang et al. 2017)."""

    @property
    def label(self) -> str:
        """The name, or the import path of the user's own."""
        return self.name or self.use or ""


class DigitsData(DataSection, frozen=True, kw_only=True):
    pixel_range: Positive = 16.0
    """Value of the brightest pixel: 16 as the data come, 255 as in 8-bit pictures."""


class SpiralsData(DataSection, frozen=True, kw_only=True):
    points: Count = 1000
    """In all classes together."""
    classes: Annotated[int, Meta(ge=2, le=100)] = 3
    noise: NotNegative = 0.1
    """Standard deviation of the angle, in radians."""


class TextData(DataSection, frozen=True, kw_only=True):
    path: str | None = None
    """A text file, or a folder of *.txt and *.py files; left out: Python's standard library."""
    context: Annotated[int, Meta(ge=2, le=65_536)] = 64
    """Characters in one example."""
    max_chars: Count = 1_000_000


class CsvData(DataSection, frozen=True, kw_only=True):
    path: str
    target: str
    """Name of the column to predict."""
    delimiter: Character = ","


class FileData(DataSection, frozen=True, kw_only=True):
    path: str
    """npz: a file with the arrays x and y. mnist, cifar10: the folder with the original files."""


class OwnData(DataSection, frozen=True, kw_only=True):
    arguments: dict[str, Any] = {}
    """Handed to the function by name."""
    classes: Annotated[int, Meta(ge=2)] | None = None
    """How many there are, where the data do not tell."""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """Processes that load batches of a Dataset."""


class ModelSection(Section, frozen=True, kw_only=True):
    """[model]: what every model has."""

    name: str | None = None
    use: ImportPath | None = None

    @property
    def label(self) -> str:
        """The name, or the import path of the user's own."""
        return self.name or self.use or ""


Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "elu"]


class BuiltInModel(ModelSection, frozen=True, kw_only=True):
    dropout: Fraction = 0.0
    init: Literal["default"] = "default"


class MlpModel(BuiltInModel, frozen=True, kw_only=True):
    layers: Annotated[int, Meta(ge=0, le=1000)] = 2
    """Hidden layers; 0 makes a linear model."""
    width: Size = 128
    activation: Activation = "relu"


class CnnModel(BuiltInModel, frozen=True, kw_only=True):
    layers: Annotated[int, Meta(ge=1, le=100)] = 3
    """Convolutions of 3 × 3; every second one is followed by pooling while the picture is large enough."""
    width: Size = 32
    """Channels of the first convolution; doubled at each pooling."""
    activation: Activation = "relu"
    batch_norm: bool = True


class TransformerModel(BuiltInModel, frozen=True, kw_only=True):
    layers: Annotated[int, Meta(ge=1, le=1000)] = 2
    width: Size = 64
    heads: Size = 4
    tied: bool = False
    """The output layer shares its weights with the embedding."""


class OwnModel(ModelSection, frozen=True, kw_only=True):
    arguments: dict[str, Any] = {}
    """Handed to the class or function by name."""


class LossTerm(Section, frozen=True, kw_only=True):
    """[[loss]]: one term; the loss is their weighted sum."""

    name: Literal["cross_entropy", "binary_cross_entropy", "mse", "l1", "smooth_l1"]
    weight: NotNegative = 1.0
    target: Literal["y"] = "y"


class OptimizerSection(Section, frozen=True, kw_only=True):
    """[optimizer]: what every optimizer has."""

    name: str
    lr: NotNegative
    weight_decay: NotNegative = 0.0


class SgdOptimizer(OptimizerSection, frozen=True, kw_only=True):
    momentum: Fraction = 0.0


class AdamOptimizer(OptimizerSection, frozen=True, kw_only=True):
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)


class AdamWOptimizer(AdamOptimizer, frozen=True, kw_only=True):
    weight_decay: NotNegative = 0.01


class ScheduleSection(Section, frozen=True, kw_only=True):
    """[schedule]: what every schedule has."""

    name: str = "constant"
    warmup_steps: CountOrZero = 0
    """Optimizer steps over which the learning rate rises linearly to its full value."""


class CosineSchedule(ScheduleSection, frozen=True, kw_only=True):
    final_fraction: UnitInterval = 0.0
    """What is left of the learning rate at the end."""


class StepSchedule(ScheduleSection, frozen=True, kw_only=True):
    every: Count
    """Optimizer steps between two drops, counted from the end of the warm-up."""
    factor: Annotated[float, Meta(gt=0, le=1)] = 0.1


class EarlyStopping(Section, frozen=True, kw_only=True):
    """train.early_stopping"""

    patience: Count = 5
    """Validations without an improvement of val/loss after which the training ends."""
    min_delta: NotNegative = 0.0
    """An improvement is one by more than this."""


class CheckpointPlan(Section, frozen=True, kw_only=True):
    """train.checkpoint"""

    every: Count | Literal["epoch"] = "epoch"
    """Epochs between two checkpoints."""
    keep: Count = 3
    """The newest so many stay."""
    best: Literal["val/loss", "val/accuracy"] | None = None
    """By which the best model is kept besides; left out: none is."""


class TrainSection(Section, frozen=True, kw_only=True):
    """[train]: exactly one of epochs and steps."""

    epochs: Count | None = None
    steps: Count | None = None
    """Optimizer steps."""
    batch_size: Count | Literal["full"] = 64
    """Examples in one forward pass."""
    accumulate: Count = 1
    """Batches whose gradients are averaged for one optimizer step."""
    clip_norm: Positive | None = None
    """Largest global gradient norm; left out: no clipping."""
    precision: Literal["fp32", "bf16"] = "fp32"
    early_stopping: EarlyStopping | None = None
    checkpoint: CheckpointPlan | None = None


class ObserveSection(Section, frozen=True, kw_only=True):
    """[observe]"""

    budget: UnitInterval = 0.02
    """Share of the step time that observing may take."""


class OverfitBudget(Section, frozen=True, kw_only=True):
    steps: Count = 400
    seconds: Positive = 20.0


class CheckSection(Section, frozen=True, kw_only=True):
    """[check]"""

    overfit: OverfitBudget = OverfitBudget()


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole config, checked."""

    run: RunSection
    data: DataSection
    model: ModelSection
    loss: tuple[LossTerm, ...]
    optimizer: OptimizerSection
    schedule: ScheduleSection
    train: TrainSection
    observe: ObserveSection
    check: CheckSection


DATASETS: dict[str, type[DataSection]] = {
    "five_points": DataSection,
    "digits": DigitsData,
    "wine": DataSection,
    "breast_cancer": DataSection,
    "diabetes": DataSection,
    "spirals": SpiralsData,
    "text": TextData,
    "csv": CsvData,
    "npz": FileData,
    "mnist": FileData,
    "cifar10": FileData,
}
MODELS: dict[str, type[ModelSection]] = {"mlp": MlpModel, "cnn": CnnModel, "transformer": TransformerModel}
OPTIMIZERS: dict[str, type[OptimizerSection]] = {
    "sgd": SgdOptimizer,
    "adam": AdamOptimizer,
    "adamw": AdamWOptimizer,
}
SCHEDULES: dict[str, type[ScheduleSection]] = {
    "constant": ScheduleSection,
    "cosine": CosineSchedule,
    "step": StepSchedule,
}


def as_dict(config: RunConfig) -> dict[str, Any]:
    """The config as plain dicts, lists, numbers and strings, keys left at None included."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain
