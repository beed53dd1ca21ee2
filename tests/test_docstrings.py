"""Docstrings of public names: every callable says what it takes, returns and raises, and has an example that runs.

Examples are run by pytest as doctests (``--doctest-modules``), so here they only have to be there.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import bitesize as bs

validate = pytest.importorskip("numpydoc.validate")

# Rules of numpydoc that hold for every public name.
CODES = {
    "GL03": "one blank line between sections, as everywhere",
    "GL05": "tabs break the layout of examples",
    "GL06": "a misspelled section is not rendered",
    "GL07": "sections come in the order that readers know from NumPy",
    "GL08": "there is a docstring",
    "GL10": "directives render",
    "SS01": "there is a summary, which editors and indexes show",
    "SS02": "summaries are sentences",
    "SS03": "summaries are sentences",
    "SS04": "summaries are not indented",
    "PR01": "every parameter is documented",
    "PR02": "no parameter is documented that does not exist",
    "PR03": "parameters are documented in the order of the signature",
    "PR05": "a type, where there is one, is not a sentence",
    "PR06": "types have their Python names",
    "PR07": "every parameter has a description",
    "PR08": "descriptions are sentences",
    "PR09": "descriptions are sentences",
    "PR10": "a type renders as one",
    "RT01": "what is returned is described",
    "RT02": "the type of a result is on its own line",
    "RT03": "what is returned is described",
    "RT04": "descriptions are sentences",
    "RT05": "descriptions are sentences",
    "YD01": "what is yielded is described",
    "EX01": "there is an example",
}
# Not used: GL01, GL02 (layout of quotes: ruff's), SS05 (it takes "Class", "Axis" for verbs: ruff's D401 does better), SS06 (summaries
# up to 125 columns are one line), ES01 and SA01 (not every name needs more text), PR04 (types are annotations in the signature).
OF_PROPERTIES = {code for code in CODES if code[:2] in ("GL", "SS")}


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield each public function, class, method and property of bitesize once, with its name."""
    seen = set()
    for module in (bs, *namespaces()):
        for name in module.__all__:
            public = getattr(module, name)
            if isinstance(public, types.ModuleType) or is_alias(public):
                continue
            for path, thing in [(f"{module.__name__}.{name}", public), *members(f"{module.__name__}.{name}", public)]:
                if id(bare(thing)) not in seen:
                    seen.add(id(bare(thing)))
                    yield path, thing


def namespaces() -> list[types.ModuleType]:
    """Return the public namespaces: for one framework, and for authors of sources."""
    modules = []
    for name in ("keras", "sklearn", "sources", "testing"):
        try:
            modules.append(importlib.import_module(f"bitesize.{name}"))
        except ModuleNotFoundError:
            continue
    return modules


def is_alias(public: Any) -> bool:
    """Return whether a name is an alias of a type, such as ``Mapping[str, Any]``: it has no docstring of its own."""
    return typing.get_origin(public) is not None


def members(path: str, public: Any) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class that are written in bitesize."""
    if not inspect.isclass(public):
        return
    for name in dir(public):
        thing = inspect.getattr_static(public, name)
        if not name.startswith("_") and (isinstance(bare(thing), types.FunctionType | property)) and ours(thing):
            yield f"{path}.{name}", thing


def bare(thing: Any) -> Any:
    """Return the function of a class method or a cached property; others are returned unchanged."""
    return thing.__func__ if isinstance(thing, classmethod | staticmethod) else getattr(thing, "func", thing)


def ours(thing: Any) -> bool:
    function = thing.fget if isinstance(thing, property) else bare(thing)
    return str(getattr(function, "__module__", "")).startswith("bitesize")


PUBLIC = dict(public_objects())


def is_property(thing: Any) -> bool:
    return isinstance(thing, property | functools.cached_property)


CALLABLES = [path for path, thing in PUBLIC.items() if not is_property(thing)]


def overrides(path: str) -> bool:
    """Return whether a method has the contract of a base class, which documents it; the method adds what is special."""
    owner, _, name = path.rpartition(".")
    cls = PUBLIC.get(owner)
    if owner.endswith(".Checkpoint") and re.match("on_|set_", name):  # Keras documents what it calls
        return True
    if not inspect.isclass(cls) or (path in PUBLIC and is_property(PUBLIC[path])):
        return False
    return sum(name in vars(base) for base in cls.__mro__) > 1


def errors_of(path: str) -> dict[str, str]:
    """Return the errors of numpydoc that count, by code."""
    thing = PUBLIC[path]
    codes = OF_PROPERTIES if is_property(thing) or overrides(path) else set(CODES)
    if getattr(thing, "_is_protocol", False):  # it has no constructor
        codes = {code for code in codes if not code.startswith("PR")}
    errors = {code: text for code, text in validate.validate(path)["errors"] if code in codes}
    if (
        isinstance(bare(thing), types.FunctionType)
        and len(inspect.signature(bare(thing)).parameters) == 1
        and "RT01" not in errors
    ):
        owner = PUBLIC.get(path.rpartition(".")[0])
        if inspect.isclass(owner) and "Returns" not in (inspect.getdoc(thing) or ""):
            errors.pop("EX01", None)  # close() and its like: the example of the class shows them
    if inspect.isclass(thing) and errors.keys() & {"PR01", "PR02", "PR03"}:
        # Classes that only bitesize creates document attributes instead.
        doc = validate.Validator(validate.get_doc_object(thing))
        known = {name for entry in doc.doc["Attributes"] for name in entry.name.split(", ")}
        if known:
            errors = {code: text for code, text in errors.items() if code not in ("PR01", "PR02", "PR03")}
            if (
                missing := {name for name in inspect.signature(thing).parameters if not name.startswith("_")}
                - known
                - set(doc.doc_parameters)
            ):
                errors["PR01"] = f"neither parameters nor attributes: {sorted(missing)}"
    return errors


@pytest.mark.parametrize("path", PUBLIC)
def test_an_example_runs(path):
    doc = inspect.getdoc(bare(PUBLIC[path])) or ""
    if "Examples\n--------" in doc:
        assert ">>> " in doc.partition("Examples\n--------")[2], "a block of code is not run"


@pytest.mark.parametrize("path", PUBLIC)
def test_the_docstring_is_complete(path):
    assert errors_of(path) == {}


def attributes_of(cls: type) -> set[str]:
    """Return the names of the attributes of a class and of its instances, as far as bitesize defines them."""
    names = set(dir(cls))
    for base in filter(ours, cls.__mro__):
        names |= vars(base).get("__annotations__", {}).keys()
        names |= set(re.findall(r"\bself\.(\w+)", inspect.getsource(base)))
    return names


@pytest.mark.parametrize("path", [path for path in CALLABLES if inspect.isclass(PUBLIC[path])])
def test_documented_attributes_exist(path):
    doc = validate.get_doc_object(PUBLIC[path])
    documented = {name for entry in doc["Attributes"] for name in entry.name.split(", ")}
    assert documented - attributes_of(PUBLIC[path]) == set()


def raises(function: Any) -> bool:
    """Return whether a function has a ``raise`` of its own, or checks settings by functions that raise."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):  # written by dataclasses
        return False
    return any(
        (isinstance(node, ast.Raise) and node.exc is not None)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and re.search(r"_setting$|^check_", node.func.id))
        for node in ast.walk(tree)
    )


@pytest.mark.parametrize("path", CALLABLES)
def test_what_is_raised_is_documented(path):
    thing = PUBLIC[path]
    if inspect.isclass(thing):
        functions = [
            vars(cls)[name]
            for cls in thing.__mro__
            if ours(cls)
            for name in ("__init__", "__post_init__")
            if name in vars(cls) and ours(vars(cls)[name])  # typing writes that of a protocol
        ]
    else:
        functions = [] if overrides(path) else [bare(thing)]
    if any(map(raises, functions)):
        assert "Raises\n" in (inspect.getdoc(thing) or "") or "Raise `" in (inspect.getdoc(thing) or "")
