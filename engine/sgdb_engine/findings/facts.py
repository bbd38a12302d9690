"""What was seen of a training, in numbers and names: all that rules may look at. None: it was not measured.

No tensor is in here, so facts can be sent from one process to another, and rules be tested with facts written down.
"""

import math

import msgspec


class LossCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a loss function of `torch.nn.functional`."""

    function: str
    value: float = math.nan
    """Its mean where it is not reduced."""
    location: str | None = None
    """file:line in the user's code."""
    reduction: str = "mean"
    input_shape: tuple[int, ...] = ()
    target_shape: tuple[int, ...] = ()
    node: str = ""
    """The operation that the input comes out of, views and casts skipped: Softmax, Relu, Addmm."""
    where: str = ""
    """The layer that probably does it."""
    low: float = math.nan
    high: float = math.nan
    """Of the input."""
    sums_to_one: bool = False
    """The rows of the input are probabilities."""
    normaliser: float = 0.0
    """Largest |log Σ exp| of a row of the input: 0 for log-probabilities."""
    logit_std: float = math.nan
    """Standard deviation of the input."""
    classes: bool = False
    """The target is class numbers."""
    target_low: float = math.nan
    target_high: float = math.nan
    target_mean: float = math.nan
    target_std: float = math.nan
    ignored: float = 0.0
    """Share of targets that are left out."""
    outputs: int = 0
    """Classes that the input has scores for."""
    baseline: float = math.nan
    """The loss of a model that has learnt nothing: ln C, ln 2, the mean square of the targets."""
    blind: float = math.nan
    """The loss of the best guess on this batch that does not look at the input."""
    floor: float = 0.0
    """The lowest loss that this batch allows; more than 0 with smoothed or probable targets."""
    accuracy: float = math.nan
    """Share of targets that the input has right."""
    is_plain: bool = True
    """Neither weighted nor smoothed."""
    target_is_input: float = 0.0
    """Share of targets that are the model's inputs at the same place."""


class OptimizerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One optimizer."""

    kind: str
    location: str | None = None
    """Where it was made."""
    lr: float = math.nan
    """The largest of its groups."""
    weight_decay: float = 0.0
    maximize: bool = False
    tensors: int = 0
    frozen: tuple[str, ...] = ()
    """Parameters in it that do not require a gradient."""
    steps: int = 0


class LayerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A layer whose presence alone says something."""

    name: str
    kind: str
    """norm or dropout."""
    p: float = 0.0
    """Of dropout."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """Graph, optimizers, modes and calls of the first steps."""

    updates: int = 0
    backwards: int = 0
    optimizers: tuple[OptimizerFacts, ...] = ()
    unoptimized: tuple[str, ...] = ()
    """Parameters that get gradients and are in no optimizer."""
    shared: int = 0
    """Parameters that get gradients and are in an optimizer."""
    reached: int = 0
    """Parameters that get gradients."""
    cut: tuple[str, ...] | None = None
    """Parameters in an optimizer that were computed with, and that no gradient reaches."""
    unused: tuple[str, ...] = ()
    """Parameters in an optimizer that no call of a model computed with, and that no gradient reaches."""
    leftover: float = 0.0
    """Share of steps whose backward found gradients of the step before."""
    judged_steps: int = 0
    """Steps of which that was looked at."""
    backward_location: str | None = None
    step_location: str | None = None
    call_location: str | None = None
    layers: tuple[LayerFacts, ...] = ()
    batch: int = 0
    """Rows that the model is given."""
    eval_updates: int = 0
    """Updates whose forward was made in eval mode."""
    val_calls_in_train_mode: int = 0
    ended: bool = False
    """The training is over."""
    made: int = 0
    """Optimizers that were made, those included that are gone."""
    steps_without_backward: int = 0
    left_out_by_scaler: int = 0
    cut_off: bool = False
    """Backward was called on a loss that depends on no trainable parameter; PyTorch raises then."""
    model_parameters: int = 0
    """Tensors of the model, frozen ones included."""
    parameters: int = 0
    """Values that can be trained."""


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """The loss functions of the first steps, and what backward was called on."""

    calls: tuple[LossCall, ...] = ()
    """Of the first step with gradients."""
    totals: tuple[float, ...] = ()
    """What was minimised, of each of the first steps."""
    reported: tuple[float, ...] = ()
    """The sum of the calls in each of them; NaN where none was seen."""
    input_kind: str = ""
    """Of the model: float, integer, or nothing that was seen."""
    classes_seen: int = 0
    targets_seen: int = 0
    always_sums_to_one: bool = False
    target_low: float = math.nan
    target_high: float = math.nan


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The examples that the model was given, in training and in validation."""

    rows: int = 0
    """Of training examples looked at."""
    val_rows: int = 0
    batches: int = 0
    features: int = 0
    """Values of a row."""
    integer: bool = False
    nonfinite: int = 0
    """Values that are NaN or infinite."""
    nonfinite_features: tuple[int, ...] = ()
    """Index within one example, flattened, from 0."""
    rms: float = math.nan
    low: float = math.nan
    high: float = math.nan
    std_ratio: float = 1.0
    """Of the features with the largest and the smallest standard deviation."""
    widest: int = 0
    """The feature with the largest one."""
    starts_with_norm: bool = False
    """The first layer with parameters normalises."""
    classes: bool = False
    text: bool = False
    """Targets are a number for each input number."""
    target_mean: float = math.nan
    target_std: float = math.nan
    prior: float = math.nan
    """The loss of a guess that ignores the input: entropy of the classes, in nats, or variance of the numbers."""
    order_ratio: float = 1.0
    """Variance between batches of the targets, relative to that of shuffled ones."""
    order_z: float = 0.0
    purest_batches: float = 0.0
    """Share of batches of one class."""
    repeated_batches: float = 0.0
    """Share of batches that hold the same rows as the first one."""
    all_equal: bool = False
    """All rows are the same."""
    whole_set: bool = False
    """Each batch is all there is."""
    workers: int = 0
    """Of the loader of the training data."""
    equal_rounds: float = 0.0
    """Share of the rounds of one batch from each worker in which all are equal, and unlike those before."""
    duplicates: float = 0.0
    """Share of training rows that have an equal among the training rows."""
    overlap: float | None = None
    """Share of validation rows that are among the training rows."""
    val_std_factor: float | None = None
    """By what the spread of a feature typically differs between training and validation, 1 or more."""
    leak_feature: int = -1
    leak: float = 0.0
    """How much that one feature alone tells of the target, 0..1."""
    neighbour_z: float | None = None
    """Agreement of the targets of nearest neighbours, in standard deviations of shuffled targets."""
    correlation_excess: float | None = None
    """√n · largest |correlation| of a feature with a target, minus what chance gives."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One pass without gradients over validation data."""

    step: int
    loss: float = math.nan
    rows: int = 0
    accuracy: float = math.nan
    train_loss: float = math.nan
    """Mean over the steps since the evaluation before."""
    majority: float = 0.0
    """Share of the most frequent class."""
    predicted: int = 0
    """Classes that were predicted at all."""
    lowest_recall: float = 1.0
    """Of a class: share of its rows that were recognised."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How the run went so far."""

    steps: int = 0
    start: float = math.nan
    """Loss of the first step."""
    early_peak: float = math.nan
    """Largest 5-step mean among the first 80 losses, relative to the first loss."""
    early_median: float = math.nan
    """Of those losses, relative to the first one."""
    early_noise: float = math.nan
    """What a 5-step mean of them strays by chance: 4 · 1.4826 · MAD / √5, relative to the first loss."""
    recent: float = math.nan
    """Mean of the last 20 losses."""
    highest_lr: float = math.nan
    lr: float = math.nan
    clip_coef: float = math.nan
    """Median of what clipping multiplied the gradients by."""
    loss_scale: float = math.nan
    """What a GradScaler multiplies the loss by."""
    spike_step: int = 0
    spike: float = math.nan
    """The largest jump of the loss: its value there."""
    spike_median: float = math.nan
    """Of the losses around it before."""
    evaluations: tuple[Evaluation, ...] = ()
    weight_ratio: float = 1.0
    """Median over the weights of their size, relative to that of their first measurement."""


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """What outputs depend on: largest change of an output relative to the spread of outputs; None: not tested."""

    other_input: float | None = None
    """When each row is given another row's input."""
    other_input_later: float | None = None
    """The same after the first steps."""
    other_rows: float | None = None
    """Of a row, when all other rows are replaced."""
    later_tokens: float | None = None
    """Of a place in a text, when the tokens behind it are replaced."""
    position: int = 0
    """Which place that was."""
    reason: str = ""
    """Why something was not tested."""


class GradientCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Autograd's gradient against differences of the loss, in float64."""

    error: float | None = None
    """Relative, the median of three directions; None: not tested."""
    functions: tuple[str, ...] = ()
    """Autograd functions that are the user's own."""
    layers: tuple[tuple[str, float], ...] = ()
    """Layer → relative error of the gradient of its weights; looked at where the whole is off."""
    reason: str = ""


class LayerSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One activation or layer at initialisation."""

    name: str
    kind: str
    std: float
    """Of its output."""
    dead: float = 0.0
    """Share of units that gave 0 for every row of a window of batches; 0 where too little is known of them."""
    dead_at_first: float = math.nan
    """The same, of the first window; NaN while that is the only one."""
    saturated: float = 0.0
    """Share of values at the ends of a tanh or sigmoid, the smallest of several batches."""
    is_last: bool = False
    """Nothing with parameters comes after it."""
    units: int = 0


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """Activations, gradients and updates of the first steps; dead units also of later ones."""

    layers: tuple[LayerSignal, ...] = ()
    forwards: int = 0
    """Over which units were watched."""
    growth: float = 1.0
    """Standard deviation of the last layer's output, relative to the first one's."""
    equal_rows: tuple[str, ...] = ()
    """Weights whose rows are equal at initialisation and after the first steps."""
    gradient_ratio: float | None = None
    """RMS of the gradient of the first weight matrix relative to the last one's; the larger of before and after."""
    first_weight: str = ""
    lost_updates: float = 0.0
    """Share of values with a gradient that an update left as they were."""
    decay_share: float = 0.0
    """Share of weight decay in the update."""
    update_ratio: float = math.nan
    """Median of norm of update by norm of weights."""
    ascent: float = 0.0
    """Cosine of the first update and the gradient of the loss: any descent has less than 0."""
    unmoved: tuple[str, ...] = ()
    """Parameters with a gradient that no update changed."""
    steps: int = 0
    """After which gradients and weights were looked at again."""
    weight_type: str = ""
    underflown: float = 0.0
    """Share of the values of float16 gradients that are 0, where half of the others are nearly."""


class OneBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Training on one batch, held still."""

    losses: tuple[float, ...] = ()
    floor: float | None = 0.0
    """Lowest loss that the batch allows; None where it is not known."""
    blind: float = math.inf
    """Loss of the best guess that does not look at the input."""
    accuracy: float = math.nan
    """At the end."""
    reason: str = ""
    """Why there is no verdict."""
    rows: int = 0
    dropout: float = 0.0
    """The largest probability that was left on."""


class LrRange(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep of the learning rate, on the stream of batches."""

    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    """Of each of them, as they came."""
    lowest: float | None = None
    """The rate at which the smoothed loss was lowest; None where the sweep said nothing."""
    diverged: float | None = None
    """The rate at which it had grown to four times its best."""
    suggestion: float | None = None
    """A tenth of `lowest`."""
    reason: str = ""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What a step takes."""

    step_s: float = 0.0
    """Median."""
    data_share: float = 0.0
    """Of the time: waiting for a loader."""
    host_gib: float = 0.0
    """Memory of the process at most."""
    device_gib: float = 0.0


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """Losses and gradients of several batches at the weights of the beginning."""

    losses: tuple[float, ...] = ()
    cosine: float | None = None
    """Mean over pairs of gradients: the share that is signal."""
    scale: float | None = None
    """Gradient noise scale, in rows."""


class Facts(msgspec.Struct, kw_only=True):
    """Everything; each part is None until it was looked at."""

    step: int = 0
    wiring: Wiring | None = None
    losses: Losses | None = None
    data: Data | None = None
    course: Course | None = None
    dependencies: Dependencies | None = None
    gradient_check: GradientCheck | None = None
    signals: Signals | None = None
    user: OneBatch | None = None
    rescue: OneBatch | None = None
    zero_input: OneBatch | None = None
    lr_range: LrRange | None = None
    noise: Noise | None = None
    pace: Pace | None = None
