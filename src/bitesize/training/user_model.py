"""A model from a user's Python file: a function, or a model that is ready."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bitesize.errors import BadSetting, NotFound, WrongModel
from bitesize.training.backend import load_keras

Shape = tuple[int, ...]

# What people call the function, where a file has several.
_USUAL = ("make", "build", "build_model", "create_model", "make_model", "get_model", "model")
_SHAPES = ("shape", "input_shape")
_CLASSES = ("classes", "num_classes", "n_classes", "number_of_classes")
NEEDED = (
    "a function that takes nothing, or (shape, classes), and returns a Keras model: "
    "def make(shape, classes): return keras.Sequential([...])"
)


def is_file(name: str) -> bool:
    """Whether a model's name is that of a Python file, with or without ``:function``."""
    return name.endswith(".py") or ".py:" in name


def model_of_file(name: str, shape: Shape, classes: int) -> Any:
    """Return what a file's function makes, or the model that the file holds ready.

    Parameters
    ----------
    name
        ``"file.py:name"``; or ``"file.py"``, where the file has one function or model.
    shape, classes
        Shape of one row and number of classes, for a function that takes them.

    Raises
    ------
    NotFound
        If the file does not exist.
    BadSetting
        If the file has no such name, or the function takes something else.
    WrongModel
        If the file or the function fails, or what it returns is no Keras model.
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
    """Return the file of a model's name, which must exist, and the function, which may be left out.

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
    load_keras()  # before the file imports it: it chooses the backend
    spec = importlib.util.spec_from_file_location("bitesize_user_model", path)
    if spec is None or spec.loader is None:
        raise BadSetting(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)  # the file may import others beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise WrongModel(f"{path} cannot be imported: {_where(error, path)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


def _named(module: ModuleType, path: str, function: str) -> Any:
    found = getattr(module, function, None)
    if found is None or not (callable(found) or _is_model(found)):
        names = ", ".join(_candidates(module)) or "none"
        raise BadSetting(f"{path} has no function {function!r}; its functions and models: {names}")
    return found


def _only_one(module: ModuleType, path: str) -> Any:
    """Return the one model or function that a file has."""
    found = _candidates(module)
    models = [name for name, each in found.items() if _is_model(each)]
    usual = [name for name in _USUAL if name in found]
    names = next((names for names in (models, list(found), usual) if len(names) == 1), [])
    if not names:
        there = f"has several functions ({', '.join(found)}): name one" if found else "has no function"
        raise BadSetting(f"{path} {there}; --model {path}:NAME needs {NEEDED}")
    return found[names[0]]


def _candidates(module: ModuleType) -> dict[str, Any]:
    """Return the models of a module, and the functions and classes of models that it defines itself."""
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
    """Choose what a function is called with: shape and classes where it takes them, else nothing."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return (shape, classes), {}
    kinds = inspect.Parameter
    parameters = [
        each for each in signature.parameters.values() if each.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    named: dict[str, Any] = {each.name: shape for each in parameters if each.name in _SHAPES}
    named |= {each.name: classes for each in parameters if each.name in _CLASSES}
    required = [each for each in parameters if each.default is kinds.empty]
    if all(each.name in named for each in required) and all(each.kind is not kinds.POSITIONAL_ONLY for each in parameters):
        return (), named
    if len(required) == 2 and all(each.kind is not kinds.KEYWORD_ONLY for each in required):
        return (shape, classes), {}
    raise BadSetting(f"{label}{signature} takes other arguments than bitesize has: --model needs {NEEDED}")


def refuse_unless_model(made: Any, label: str, *, returned: bool = False) -> None:
    """Refuse what is no Keras model; of a PyTorch module, say where it can be trained.

    Parameters
    ----------
    made
        What should be a model.
    label
        What it is called, or the function that returned it.
    returned
        Whether ``label`` is a function.

    Raises
    ------
    WrongModel
        If it is anything else.
    """
    if _is_model(made):
        return
    is_or_returned = "returned" if returned else "is"
    if hasattr(made, "register_forward_hook"):
        raise WrongModel(
            f"{label} {is_or_returned} a PyTorch module, and bitesize trains Keras models: train it in a loop of your own over "
            "bs.to_torch(loader)"
        )
    kind = "nothing (None): is a return missing?" if made is None else f"{type(made).__name__}, which is no Keras model."
    needed = f" --model needs {NEEDED}" if returned else ""
    raise WrongModel(f"{label} {is_or_returned} {kind}{needed}")


def check_loss(model: Any, label: str) -> None:
    """Refuse a model that comes compiled with a loss of Keras that cannot take class numbers.

    Raises
    ------
    WrongModel
        If so: Keras would fail within the first batch, or compare numbers with outputs that mean something else.
    """
    name, _ = compiled_loss(model)
    known = {each.replace("_", "").lower(): each for each in sorted(dir(load_keras().losses))}
    if name in known and name != "sparsecategoricalcrossentropy":
        raise WrongModel(
            f"{label} comes compiled with the loss {known[name]}, and labels are class numbers: compile it with "
            "sparse_categorical_crossentropy, or leave compile out"
        )


def compiled_loss(model: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the loss that a model comes compiled with: its name in small letters alone, and its settings.

    The name is empty where the model is not compiled, or with a loss of the user's; settings are empty where they are Keras's defaults.
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
    return f"{line}{type(error).__name__}: {' '.join(str(error).split())[:500]}"
