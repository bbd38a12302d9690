"""The weights that a training begins with."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Whose weights are drawn anew; normalisations and embeddings keep their own beginning."""
WANTED_STD, TOLERANCE, MOST_ROUNDS = 1.0, 0.1, 10
"""Of LSUV, as in the paper."""


def kaiming_uniform(layer: nn.Module) -> None:
    """W = √(6/n_in) · U[−1, 1], b = (1/√n_in) · U[−1, 1] (He et al. 2015, for ReLU; the bias as PyTorch draws it)."""
    weight, n_in = _weight(layer), fan_in(layer)
    nn.init.uniform_(weight, -math.sqrt(6 / n_in), math.sqrt(6 / n_in))
    if isinstance(layer.bias, Tensor):
        nn.init.uniform_(layer.bias, -1 / math.sqrt(n_in), 1 / math.sqrt(n_in))


def kaiming_normal(layer: nn.Module) -> None:
    """W = √(2/n_in) · N(0, 1), b = 0 (He et al. 2015, for ReLU)."""
    nn.init.normal_(_weight(layer), std=math.sqrt(2 / fan_in(layer)))
    _no_bias(layer)


def xavier_uniform(layer: nn.Module) -> None:
    """W = √(6/(n_in + n_out)) · U[−1, 1], b = 0 (Glorot & Bengio 2010)."""
    nn.init.xavier_uniform_(_weight(layer))
    _no_bias(layer)


def xavier_normal(layer: nn.Module) -> None:
    """W = √(2/(n_in + n_out)) · N(0, 1), b = 0 (Glorot & Bengio 2010)."""
    nn.init.xavier_normal_(_weight(layer))
    _no_bias(layer)


def orthogonal(layer: nn.Module) -> None:
    """W with orthonormal rows, or columns where there are more rows; b = 0 (Saxe et al. 2014)."""
    nn.init.orthogonal_(_weight(layer))
    _no_bias(layer)


INITS: dict[str, Callable[[nn.Module], None]] = {
    "kaiming_uniform": kaiming_uniform,
    "kaiming_normal": kaiming_normal,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "orthogonal": orthogonal,
    "lsuv": orthogonal,
}


def initialise(model: nn.Module, name: str, x: Tensor) -> None:
    """Draws the weights of linear and convolutional layers by the method of that name.

    Args:
        model: built; its weights are PyTorch's own.
        name: "default" leaves them so.
        x: inputs (N, …) on the model's device; LSUV looks at what the layers make of them.
    """
    if name == "default":
        return
    with torch.no_grad():
        for layer in layers_of(model):
            INITS[name](layer)
        if name == "lsuv":
            lsuv(model, x)


def lsuv(model: nn.Module, x: Tensor) -> None:
    """Layer-sequential unit variance ("All you need is a good init", Mishkin & Matas 2016).

    From orthogonal weights: layer after layer, in the order in which they are called, the weights are divided by the
    standard deviation of the layer's output until that is 1 ± 0.1, at most ten times. Random numbers are left as they
    were; the model is in the mode that it was in.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # running statistics of a BatchNorm must not learn from this
    try:
        for layer in _in_order(model, x):
            for _ in range(MOST_ROUNDS):
                std = float(_output_of(layer, model, x).std())
                if abs(std - WANTED_STD) < TOLERANCE or not 0 < std < math.inf:
                    break
                _weight(layer).div_(std)
    finally:
        for module, training in modes:
            module.training = training


def layers_of(model: nn.Module) -> list[nn.Module]:
    """Those whose weights are drawn; of several that share their weights the first. What is tied to an embedding is
    the embedding's to begin."""
    seen = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, LAYERS) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            found.append(module)
    return found


def fan_in(layer: nn.Module) -> int:
    """Inputs of one unit: of a convolution, channels · kernel."""
    return _weight(layer)[0].numel()


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight


def _no_bias(layer: nn.Module) -> None:
    if isinstance(layer.bias, Tensor):
        nn.init.zeros_(layer.bias)


def _in_order(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """As they are called; a layer that is not called is not among them."""
    called: dict[nn.Module, None] = {}
    handles = [
        layer.register_forward_hook(lambda module, *_: called.setdefault(module))
        for layer in layers_of(model)
    ]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(called)


def _output_of(layer: nn.Module, model: nn.Module, x: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _input, output: outputs.append(output))
    try:
        model(x)
    finally:
        handle.remove()
    return outputs[0]
