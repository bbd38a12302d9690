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
    target: str | Annotated[tuple[str, ...], Meta(min_length=1)]
    """Name of the column to predict; of several, each is a target of its own name."""
    delimiter: Character = ","


class FileData(DataSection, frozen=True, kw_only=True):
    path: str
    """npz: a file with the arrays x and y. mnist, cifar10: the folder with the original files."""


class PlacedDigitsData(DataSection, frozen=True, kw_only=True):
    side: Annotated[int, Meta(ge=9, le=64)] = 16
    """Pixels of a picture's side; each digit of 8 × 8 pixels lies somewhere in it."""


class OwnData(DataSection, frozen=True, kw_only=True):
    arguments: dict[str, Any] = {}
    """Handed to the function by name."""
    classes: Annotated[int, Meta(ge=2)] | dict[str, Annotated[int, Meta(ge=2)]] | None = None
    """How many there are, where the data do not tell; of several targets by name."""
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


Init = Literal[
    "default", "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal", "orthogonal", "lsuv"
]


class BuiltInModel(ModelSection, frozen=True, kw_only=True):
    dropout: Fraction = 0.0
    init: Init = "default"
    """Of the weights of linear and convolutional layers."""


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

    name: str
    weight: NotNegative = 1.0
    target: str = "y"
    """Which of the data's targets it is for; a built-in model has a head for each."""


class CrossEntropyTerm(LossTerm, frozen=True, kw_only=True):
    label_smoothing: Fraction = 0.0
    """Share of each target that is spread over all classes (Szegedy et al. 2016)."""


class HuberTerm(LossTerm, frozen=True, kw_only=True):
    delta: Positive = 1.0
    """Error at which the squared loss goes over into the absolute one."""


class OptimizerSection(Section, frozen=True, kw_only=True):
    """[optimizer]: what every optimizer has."""

    name: str
    lr: NotNegative
    weight_decay: NotNegative = 0.0


class SgdOptimizer(OptimizerSection, frozen=True, kw_only=True):
    momentum: Fraction = 0.0
    """PyTorch's form: b ← momentum · b + g, beginning with b = g."""
    nesterov: bool = False
    """Looks ahead: g + momentum · b takes the place of b."""
    ema_momentum: Fraction = 0.0
    """The form of an exponential moving average: m ← ema_momentum · m + (1 − ema_momentum) · g, beginning with 0."""


class AdamOptimizer(OptimizerSection, frozen=True, kw_only=True):
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)


class AdamWOptimizer(AdamOptimizer, frozen=True, kw_only=True):
    weight_decay: NotNegative = 0.01
    """θ ← θ − lr · weight_decay · θ, beside the step of Adam."""


class RmspropOptimizer(OptimizerSection, frozen=True, kw_only=True):
    alpha: Fraction = 0.99
    """Of the moving average of the squared gradient."""
    momentum: Fraction = 0.0


class ScheduleSection(Section, frozen=True, kw_only=True):
    """[schedule]: what every schedule has."""

    name: str = "constant"
    warmup_steps: CountOrZero = 0
    """Optimizer steps over which the learning rate rises linearly to its full value."""


Shrinking = Annotated[float, Meta(gt=0, le=1)]


class DecliningSchedule(ScheduleSection, frozen=True, kw_only=True):
    final_fraction: UnitInterval = 0.0
    """What is left of the learning rate at the end."""


class ExponentialSchedule(ScheduleSection, frozen=True, kw_only=True):
    final_fraction: Shrinking = 0.01
    """What is left of the learning rate at the end."""


class StepSchedule(ScheduleSection, frozen=True, kw_only=True):
    every: Count
    """Optimizer steps between two drops, counted from the end of the warm-up."""
    factor: Shrinking = 0.1


class CyclicSchedule(ScheduleSection, frozen=True, kw_only=True):
    period: Count
    """Optimizer steps from one valley to the next."""
    low_fraction: UnitInterval = 0.1
    """The valleys, as a share of optimizer.lr, which is the peaks."""


class OneCycleSchedule(ScheduleSection, frozen=True, kw_only=True):
    rise: Annotated[float, Meta(gt=0, lt=1)] = 0.3
    """Share of the steps in which the learning rate rises to optimizer.lr."""
    start_fraction: UnitInterval = 0.04
    final_fraction: UnitInterval = 0.0


class PlateauSchedule(ScheduleSection, frozen=True, kw_only=True):
    factor: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    patience: CountOrZero = 5
    """Validations without an improvement of val/loss that are let pass before the learning rate drops."""
    min_delta: NotNegative = 0.0
    """An improvement is one by more than this."""
    final_fraction: UnitInterval = 0.0
    """It does not drop below this share of optimizer.lr."""


class SgdrSchedule(ScheduleSection, frozen=True, kw_only=True):
    period: Count
    """Optimizer steps of the first cosine, from the end of the warm-up to the first restart."""
    growth: Annotated[float, Meta(ge=1, le=100)] = 2.0
    """Each cosine is so many times as long as the one before."""
    final_fraction: UnitInterval = 0.0
    """What is left of the learning rate before each restart."""


class OwnSchedule(ScheduleSection, frozen=True, kw_only=True):
    use: ImportPath | None = None
    """function(step, total_steps) → factor of optimizer.lr, steps counted from 0 at the end of the warm-up."""
    arguments: dict[str, Any] = {}
    """Handed to the function by name."""


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
    "placed_digits": PlacedDigitsData,
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
LOSSES: dict[str, type[LossTerm]] = {
    "cross_entropy": CrossEntropyTerm,
    "binary_cross_entropy": LossTerm,
    "mse": LossTerm,
    "l1": LossTerm,
    "smooth_l1": LossTerm,
    "huber": HuberTerm,
}
OPTIMIZERS: dict[str, type[OptimizerSection]] = {
    "sgd": SgdOptimizer,
    "adam": AdamOptimizer,
    "adamw": AdamWOptimizer,
    "rmsprop": RmspropOptimizer,
}
SCHEDULES: dict[str, type[ScheduleSection]] = {
    "constant": ScheduleSection,
    "step": StepSchedule,
    "exponential": ExponentialSchedule,
    "linear": DecliningSchedule,
    "cosine": DecliningSchedule,
    "cyclic": CyclicSchedule,
    "one_cycle": OneCycleSchedule,
    "plateau": PlateauSchedule,
    "sgdr": SgdrSchedule,
}


def as_dict(config: RunConfig) -> dict[str, Any]:
    """The config as plain dicts, lists, numbers and strings, keys left at None included."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain
