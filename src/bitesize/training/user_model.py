"""Load a model from a user's Python file: a function that returns a model, or a model."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bitesize.errors import BadSetting, NotFound, WrongModel, one_line
from bitesize.training.backend import load_keras
from bitesize.training.tasks.base import Task

Shape = tuple[int, ...]

# Usual names of the function, if a file has several functions.
_USUAL = ("make", "build", "build_model", "create_model", "make_model", "get_model", "model")
_SHAPES = ("shape", "input_shape")
_CLASSES = ("classes", "num_classes", "n_classes", "number_of_classes", "outputs", "tags", "targets")
NEEDED = (
    "a function that takes no arguments or (shape, classes) and returns a Keras model: "
    "def make(shape, classes): return keras.Sequential([...])"
)


def is_file(name: str) -> bool:
    """Return whether a model's name is a Python file, with or without ``:function``."""
    return name.endswith(".py") or ".py:" in name


def model_of_file(name: str, shape: Shape, classes: int) -> Any:
    """Return the model from a file's function, or the model defined in the file.

    Parameters
    ----------
    name
        ``"file.py:name"``; or ``"file.py"``, if the file has one function or model.
    shape, classes
        Shape of one row and number of outputs, such as classes, for a function that takes them.

    Raises
    ------
    NotFound
        If the file does not exist.
    BadSetting
        If the file does not define the name, or the function takes other arguments.
    WrongModel
        If the file or the function fails, or the result is not a Keras model.
    """
    path, function = check_file(name)
    module = _imported(path)
    made = _named(module, path, function) if function else _only_one(module, path)
    if not _is_model(made):
        label = f"{path}:{getattr(made, '__name__', function)}"
        made = _called(made, label, path, shape, classes)
        refuse_unless_model(made, label, returned=True)
    return made


def check_file(name: str) -> tuple[str, str]:
    """Return the file of a model's name, which must exist, and the optional function.

    Raises
    ------
    NotFound
        If the file does not exist.
    """
    path, _, function = (name, "", "") if name.endswith(".py") else name.rpartition(":")
    if not os.path.isfile(path):
        raise NotFound(f"{path} does not exist (of the model {name})")
    return path, function


def _imported(path: str) -> ModuleType:
    load_keras()  # before the file imports Keras, to choose the backend
    spec = importlib.util.spec_from_file_location("bitesize_user_model", path)
    if spec is None or spec.loader is None:
        raise BadSetting(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)  # the file may import other files in its folder
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise WrongModel(f"{path} cannot be imported: {_where(error, path)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


def _named(module: ModuleType, path: str, function: str) -> Any:
    value = getattr(module, function, None)
    if value is None or not (callable(value) or _is_model(value)):
        names = ", ".join(_candidates(module)) or "none"
        raise BadSetting(f"{path} has no function {function!r}; its functions and models: {names}")
    return value


def _only_one(module: ModuleType, path: str) -> Any:
    """Return the only model or function of a file."""
    candidates = _candidates(module)
    models = [name for name, each in candidates.items() if _is_model(each)]
    usual = [name for name in _USUAL if name in candidates]
    names = next((names for names in (models, list(candidates), usual) if len(names) == 1), [])
    if not names:
        there = f"has several functions ({', '.join(candidates)}): name one" if candidates else "has no function"
        raise BadSetting(f"{path} {there}; --model {path}:NAME needs {NEEDED}")
    return candidates[names[0]]


def _candidates(module: ModuleType) -> dict[str, Any]:
    """Return the models of a module, and the functions and model classes that it defines."""
    keras = load_keras()

    def fits(value: Any) -> bool:
        if inspect.isclass(value):
            return issubclass(value, keras.Model) and value.__module__ == module.__name__
        return _is_model(value) or (inspect.isfunction(value) and value.__module__ == module.__name__)

    return {name: value for name, value in vars(module).items() if not name.startswith("_") and fits(value)}


def _called(function: Any, label: str, path: str, shape: Shape, classes: int) -> Any:
    positional, named = _arguments(function, label, shape, classes)
    try:
        return function(*positional, **named)
    except Exception as error:
        given = ", ".join([*map(str, positional), *(f"{key}={value}" for key, value in named.items())])
        raise WrongModel(f"{label}({given}) failed: {_where(error, path)}") from error


def _arguments(function: Any, label: str, shape: Shape, classes: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a function: shape and classes if it takes them, else none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return (shape, classes), {}
    kinds = inspect.Parameter
    parameters = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    named: dict[str, Any] = {parameter.name: shape for parameter in parameters if parameter.name in _SHAPES}
    named |= {parameter.name: classes for parameter in parameters if parameter.name in _CLASSES}
    required = [parameter for parameter in parameters if parameter.default is kinds.empty]
    if all(parameter.name in named for parameter in required) and all(
        parameter.kind is not kinds.POSITIONAL_ONLY for parameter in parameters
    ):
        return (), named
    if len(required) == 2 and all(parameter.kind is not kinds.KEYWORD_ONLY for parameter in required):
        return (shape, classes), {}
    raise BadSetting(f"{label}{signature} takes other arguments: --model needs {NEEDED}")


def refuse_unless_model(made: Any, label: str, *, returned: bool = False) -> None:
    """Raise unless an object is a Keras model; for a PyTorch module, the message describes how to train it.

    Parameters
    ----------
    made
        Object to check.
    label
        Name of the object, or of the function that returned it.
    returned
        Whether ``label`` is a function.

    Raises
    ------
    WrongModel
        If the object is not a Keras model.
    """
    if _is_model(made):
        return
    is_or_returned = "returned" if returned else "is"
    if hasattr(made, "register_forward_hook"):
        raise WrongModel(
            f"{label} {is_or_returned} a PyTorch module, but bitesize trains Keras models: train it in your own loop over "
            "bs.to_torch(loader)"
        )
    kind = "None: is a return statement missing?" if made is None else f"{type(made).__name__}, which is not a Keras model."
    needed = f" --model needs {NEEDED}" if returned else ""
    raise WrongModel(f"{label} {is_or_returned} {kind}{needed}")


def check_loss(model: Any, label: str, task: Task) -> None:
    """Raise for a model that is compiled with a loss of Keras that cannot take the labels of a task.

    Raises
    ------
    WrongModel
        If the loss does not take the labels: Keras would fail in the first batch, or compute a meaningless loss.
    """
    name, config = compiled_loss(model)
    known = {each.replace("_", "").lower(): each for each in sorted(dir(load_keras().losses))}
    if name in known and not task.takes_loss(name, config):
        raise WrongModel(
            f"{label} is compiled with the loss {known[name]}, but labels are {task.labels_are}: {task.compile_with}"
        )


def compiled_loss(model: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the loss that a model is compiled with: its name in lowercase letters, and its settings.

    The name is empty if the model is not compiled, or has a user-defined loss; settings are empty for Keras's defaults.
    """
    loss = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    if isinstance(loss, dict):  # by the name of the only output
        loss = list(loss.values())
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    name, config = loss if isinstance(loss, str) else "", {}
    if isinstance(loss, load_keras().losses.Loss) and type(loss).__module__.startswith("keras."):
        name, config = type(loss).__name__, loss.get_config()
    elif getattr(loss, "__module__", "").startswith("keras."):
        name = getattr(loss, "__name__", "")
    return name.replace("_", "").lower(), config


def _is_model(value: Any) -> bool:
    return isinstance(value, load_keras().Model)


def _where(error: Exception, path: str) -> str:
    """Return an error's type and text, with the line of the user's file."""
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if os.path.abspath(each.filename) == os.path.abspath(path)
    ]
    line = f"line {frames[-1].lineno}: " if frames else f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
    return f"{line}{type(error).__name__}: {one_line(error, 500)}"
