"""Capture and restore the state of a Keras training: variables, metrics, random generators, callbacks."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import WrongModel
from bitesize.training.backend import load_keras

Arrays = dict[str, NDArray[Any]]

# Attributes of Keras's callbacks that change during training. Other callbacks may have a `state_dict` method.
_KEPT = {
    "History": ("epoch", "history"),
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving"),
}


def capture_variables(model: Any) -> Arrays:
    """Copy weights, other state such as running averages and seeds, and the optimizer's variables."""
    sync(model)
    return {f"{kind}/{i}": _copy(variable) for kind, i, variable in _variables(model)}


def restore_variables(model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Restore the variables from `capture_variables`.

    Raises
    ------
    WrongModel
        If the model has other variables. Nothing is changed then.
    """
    ours = {f"{kind}/{i}": variable for kind, i, variable in _variables(model)}
    theirs = {name: array for name, array in arrays.items() if name.partition("/")[0] in ("weights", "state", "optimizer")}
    if len(ours) != len(theirs):
        raise WrongModel(f"the checkpoint has {len(theirs)} variables, but the model with its optimizer has {len(ours)}")
    for name, variable in ours.items():
        if name not in theirs or tuple(theirs[name].shape) != tuple(variable.shape):
            there = f"has the shape {theirs[name].shape}" if name in theirs else "does not exist"
            raise WrongModel(f"{variable.path} has the shape {tuple(variable.shape)}, but in the checkpoint it {there}")
    for name, variable in ours.items():
        variable.assign(theirs[name])


def capture_metrics(model: Any) -> Arrays:
    """Copy the running sums of the metrics."""
    sync(model)
    return {f"metrics/{i}": _copy(variable) for i, variable in enumerate(model.metrics_variables)}


def restore_metrics(model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Restore the running sums of the metrics.

    Raises
    ------
    WrongModel
        If the model has other metrics.
    """
    theirs = [array for name, array in arrays.items() if name.startswith("metrics/")]
    ours = model.metrics_variables
    if [tuple(array.shape) for array in theirs] != [tuple(variable.shape) for variable in ours]:
        raise WrongModel(
            f"the metrics of the model differ from those in the checkpoint: {[metric.name for metric in model.metrics]}"
        )
    for variable, array in zip(ours, theirs, strict=True):
        variable.assign(array)


def capture_random(arrays: Arrays) -> dict[str, Any]:
    """Copy the state of the global random generators: Python's, NumPy's, Keras's and torch's."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - the global generator
    arrays["random/numpy"] = np.asarray(keys).copy()
    generator = _keras_generator()
    if generator is not None:
        arrays["random/keras"] = _copy(generator.state)
    torch = sys.modules.get("torch")
    if torch is not None:
        arrays["random/torch"] = torch.get_rng_state().numpy().copy()
        if torch.cuda.is_initialized():
            for i, state in enumerate(torch.cuda.get_rng_state_all()):
                arrays[f"random/cuda{i}"] = state.numpy().copy()
    return {
        "python": [version, list(words), gauss],
        "numpy": [str(kind), int(position), int(has_gauss), float(cached)],
    }


def restore_random(state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Restore the random generators from `capture_random`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, arrays["random/numpy"], position, has_gauss, cached))  # noqa: NPY002
    if "random/keras" in arrays:
        _keras_generator(make=True).state.assign(arrays["random/keras"])
    torch = sys.modules.get("torch")
    if torch is not None and "random/torch" in arrays:
        torch.set_rng_state(torch.from_numpy(arrays["random/torch"].copy()))
        states = [torch.from_numpy(array.copy()) for name, array in arrays.items() if name.startswith("random/cuda")]
        if states and torch.cuda.device_count() == len(states):
            torch.cuda.set_rng_state_all(states)


def capture_callbacks(callbacks: Sequence[Any], arrays: Arrays) -> list[list[Any]]:
    """Return the state of callbacks: a list of [name, state], with arrays stored separately."""
    taken: list[list[Any]] = []
    for number, callback in enumerate(callbacks):
        found = _state_of(callback)
        if found is not None:
            taken.append([type(callback).__name__, _capture_arrays(found, f"callbacks/{number}", arrays)])
    return taken


def restore_callbacks(callbacks: Sequence[Any], taken: Iterable[Sequence[Any]], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Restore the state of callbacks; callbacks of one class are matched by their order."""
    left = list(callbacks)
    for name, state in taken:
        match = next((callback for callback in left if type(callback).__name__ == name), None)
        if match is None:
            continue
        left.remove(match)
        state = _restore_arrays(state, arrays)
        if hasattr(match, "load_state_dict"):
            match.load_state_dict(state)
        else:
            for attribute, value in state.items():
                setattr(match, attribute, value)


def extend(state: dict[str, Any]) -> None:
    """Allow a training that was stopped early to continue: early stopping keeps its best epoch, and restarts its patience."""
    state["stopped"] = False
    for _, kept in state["callbacks"]:
        if {"wait", "stopped_epoch", "best"} <= set(kept):
            kept["wait"] = kept["stopped_epoch"] = 0


def sync(model: Any) -> None:
    """Copy the state that JAX carries between steps into the model's variables."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def _variables(model: Any) -> Iterable[tuple[str, int, Any]]:
    for kind, variables in (
        ("weights", model.trainable_variables),
        ("state", model.non_trainable_variables),
        ("optimizer", model.optimizer.variables),
    ):
        yield from ((kind, i, variable) for i, variable in enumerate(variables))


def _copy(variable: Any) -> NDArray[Any]:
    return np.array(load_keras().ops.convert_to_numpy(variable))


def _keras_generator(make: bool = False) -> Any:
    """Return Keras's global seed generator, or None if it has not been used yet."""
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

    return global_seed_generator() if make else global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)


def _state_of(callback: Any) -> dict[str, Any] | None:
    if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
        state: dict[str, Any] = callback.state_dict()
        return state
    for kind in type(callback).__mro__:
        if kind.__name__ in _KEPT and kind.__module__.startswith("keras."):
            return {name: getattr(callback, name) for name in _KEPT[kind.__name__] if hasattr(callback, name)}
    return None


def _capture_arrays(value: Any, name: str, arrays: Arrays) -> Any:
    """Return a value for JSON, with its arrays stored separately; scalars stay scalars."""
    if isinstance(value, Mapping):
        return {str(key): _capture_arrays(each, f"{name}/{key}", arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_capture_arrays(each, f"{name}/{i}", arrays) for i, each in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays[name] = value.copy()
        return {"array": name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return float(value)  # a scalar of a backend, for example in logs


def _restore_arrays(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"array"}:
            return arrays[value["array"]]
        return {key: _restore_arrays(each, arrays) for key, each in value.items()}
    return [_restore_arrays(each, arrays) for each in value] if isinstance(value, list) else value
