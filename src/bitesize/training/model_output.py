"""Detect whether a model returns logits or probabilities, from its last layers or from its outputs for a few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import WrongModel, one_line
from bitesize.training.backend import load_keras
from bitesize.training.tasks.base import NEAR, NEAR_OF_HALVES, Output, Task
from bitesize.training.tasks.classify import Classify
from bitesize.training.user_model import compiled_loss

# Names of layers and operations of Keras that do not change values.
_PASSED = frozenset((
    "ActivityRegularization", "AlphaDropout", "Cast", "Dropout", "ExpandDims", "Flatten", "GaussianDropout", "GaussianNoise", "Identity",
    "Reshape", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Squeeze",
))  # fmt: skip
# Other activations; the softmax of log-probabilities returns the probabilities.
_OF_LOGITS = frozenset(("linear", "logsoftmax"))
# Layers and operations that only limit values: their outputs are neither logits nor probabilities.
_LIMITING = frozenset((
    "celu", "elu", "exponential", "gelu", "glu", "hardshrink", "hardsigmoid", "hardsilu", "hardtanh", "leakyrelu", "logsigmoid", "mish",
    "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "sparseplus", "sparsesigmoid",
    "squareplus", "swish", "tanh", "tanhshrink", "threshold", "sparsemax",
))  # fmt: skip
_CLASSIFY = Classify(())
_THROUGH = "through"


def declared_output(model: Any, label: str, task: Task = _CLASSIFY) -> Output | None:
    """Return the type of a model's outputs by its last layers; None if they do not determine it, such as user-defined layers.

    Parameters
    ----------
    model
        Built Keras model.
    label
        Name of the model, for messages.
    task
        What the model learns.

    Raises
    ------
    WrongModel
        If the model ends in another activation than those of the task, such as a sigmoid for classes.
    """
    count = model.output_shape[-1] if hasattr(model, "output_shape") else None
    activation = _of_model(model)
    if activation is None or activation == _THROUGH:
        return None
    if (output := task.ending(activation, count)) is not None:
        return output
    if count == 1 and task.name == "classify":
        return None  # an error about the number of classes follows
    others = [each for each in task.endings if each not in _OF_LOGITS]
    ways = [f"keras.layers.Dense({count})", *(f'keras.layers.Dense({count}, activation="{each}")' for each in others)]
    raise WrongModel(
        f"the model {label} ends in {activation}, which returns {task.not_returned}: end it in {', or in '.join(ways)}"
    )


def choose_output(
    model: Any, label: str, sample: Callable[[], NDArray[np.float32]], task: Task = _CLASSIFY
) -> tuple[Output, list[str]]:
    """Choose the type of a model's outputs; if its layers do not determine it, from its outputs for a few rows.

    Parameters
    ----------
    model, label
        As in `declared_output`.
    sample
        Function that reads the rows, with the transforms of training.
    task
        What the model learns.

    Returns
    -------
    output : str
        ``"logits"``, ``"probabilities"`` or ``"values"``.
    said : list of str
        A line on the choice, if outputs were inspected.

    Raises
    ------
    WrongModel
        If the model is compiled with a loss for the other type, or cannot take the rows.
    """
    output: Output | None = declared_output(model, label, task)
    said: list[str] = []
    if output is None and len(set(task.endings.values())) == 1:
        output = next(iter(task.endings.values()))
    if output is None:
        rows = sample()
        output, why = task.output_of(*_outputs(model, label, rows))
        of = f"{len(rows)} rows" if len(rows) != 1 else "1 row"
        layer = "Softmax()" if "softmax" in task.endings else 'Activation("sigmoid")'
        ways = f"to choose, end the model in keras.layers.{layer} for probabilities, or in keras.layers.Dense without activation for logits"
        said = [f"output: taken as {output}, because the model's outputs for {of} of the training data {why} ({ways})"]
    check_agreement(model, label, output, task)
    return output, said


def check_agreement(model: Any, label: str, output: Output | None, task: Task = _CLASSIFY) -> None:
    """Raise for a model that is compiled with a loss for logits and returns probabilities, or the reverse.

    Raises
    ------
    WrongModel
        If the loss does not match the outputs: Keras would silently train on wrong losses.
    """
    name, config = compiled_loss(model)
    if output is None or output == "values" or not task.takes_loss(name, config):
        return
    of_logits = bool(config.get("from_logits", False))
    if of_logits == (output == "logits"):
        return
    loss = f"keras.losses.{task.keras_loss}(from_logits={{}})"
    ending = next(each for each, kind in task.endings.items() if kind == "probabilities")
    classes = model.output_shape[-1] if hasattr(model, "output_shape") else "classes"
    if of_logits:
        other = f"end it in keras.layers.Dense({classes}), without {ending}"
        why = "its outputs are probabilities"
    else:
        other = f'end it in keras.layers.Dense({classes}, activation="{ending}")'
        why = "its outputs are logits"
    raise WrongModel(
        f"the model {label} is compiled with a loss for {'logits' if of_logits else 'probabilities'} (from_logits={of_logits}), but {why}: "
        f"compile it with {loss.format(not of_logits)}, {other}, or leave compile out"
    )


def _outputs(model: Any, label: str, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the finite outputs of a model for a few rows, and how far rounding may change probabilities."""
    keras = load_keras()
    try:
        given = model(keras.ops.convert_to_tensor(rows), training=False)
        halves = keras.backend.standardize_dtype(given.dtype) in ("float16", "bfloat16")
        values = np.asarray(keras.ops.convert_to_numpy(given)).astype(np.float64)
    except Exception as error:  # layers raise many types of errors for rows that do not fit
        raise WrongModel(f"the model {label} cannot take rows of shape {rows.shape[1:]}: {one_line(error, 500)}") from error
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    return values[finite], NEAR_OF_HALVES if halves else NEAR


def _of_model(model: Any) -> str | None:
    """Return the last activation of a model; `_THROUGH` if it does not change values, None if unknown."""
    if not _is_of_keras(model):
        return None  # its call may do anything
    kind = type(model).__name__
    if kind == "Sequential":
        found = (_of_layer(layer) for layer in reversed(model.layers))
        return next((each for each in found if each != _THROUGH), _THROUGH)
    if kind != "Functional" or len(model.outputs) != 1:
        return None
    tensor = model.outputs[0]
    while True:
        operation, node, _ = tensor._keras_history
        if type(operation).__name__ == "InputLayer":
            return _THROUGH
        found_here = _of_layer(operation)
        if found_here != _THROUGH:
            return found_here
        inputs = operation._inbound_nodes[node].input_tensors
        if len(inputs) != 1:
            return None
        tensor = inputs[0]


def _of_layer(layer: Any) -> str | None:
    """Return the last activation of a layer or operation of Keras, as `_of_model` does."""
    if not _is_of_keras(layer):
        return None
    kind = type(layer).__name__
    if hasattr(layer, "layers"):
        return _of_model(layer)
    if kind in ("InputLayer", *_PASSED):
        return _THROUGH
    name = kind.lower()
    if name == "softmax":
        return "softmax" if layer.axis == -1 else None
    if name == "activation" and _name_of(layer.activation) == "linear":
        return _THROUGH
    if hasattr(layer, "activation"):
        return _name_of(layer.activation)
    return name if name in _LIMITING or name in _OF_LOGITS else None


def _name_of(activation: Any) -> str | None:
    """Return the name of an activation of Keras; None for any other function, whose effect is unknown."""
    if hasattr(activation, "call"):  # a layer instead of a function
        return _of_layer(activation)
    if not getattr(activation, "__module__", "").startswith("keras."):
        return None
    name = activation.__name__.replace("_", "").lower()
    return name if name == "softmax" or name in _LIMITING or name in _OF_LOGITS else None


def _is_of_keras(thing: Any) -> bool:
    return type(thing).__module__.startswith("keras.")
