"""Links in docstrings: `` `Loader` `` leads to the page of `bitesize.Loader`, and what is no public name is shown as code."""

from __future__ import annotations

import re
import types
from functools import cache
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

NAMESPACES = (
    "bitesize",
    "bitesize.keras",
    "bitesize.sklearn",
    "bitesize.ray",
    "bitesize.sources",
    "bitesize.storage",
    "bitesize.testing",
)


@cache
def public_names() -> dict[str, str]:
    """Return the public path of each name, as it is written in docstrings and as it is defined: `Loader`, `bitesize.engine.loader.Loader`."""
    found: dict[str, str] = {}
    for namespace in NAMESPACES:
        module = import_module(namespace)
        for name in module.__all__:
            thing, path = getattr(module, name), f"{namespace}.{name}"
            if isinstance(thing, types.ModuleType):
                continue
            short = {path, path.removeprefix("bitesize."), path.replace("bitesize.", "bs.", 1)}
            for known in {*short, name, f"{getattr(thing, '__module__', '')}.{name}"}:
                found.setdefault(known, path)
    return found


def target_of(text: str) -> str | None:
    """Return the public path that a name stands for, such as `Source.spec` or `bitesize.open`; None for anything else."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*", text):
        return None
    name, rest = text, ""
    while name:
        if name in public_names():
            return public_names()[name] + rest
        name, _, last = name.rpartition(".")
        rest = f".{last}{rest}"
    return None


def name_role(role: str, raw: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = None) -> Any:
    """Make a link of a public name, and code of everything else."""
    target = target_of(text)
    literal = nodes.literal(raw, text, classes=["xref", "py"] if target else [])
    if target is None:
        return [literal], []
    link = addnodes.pending_xref(
        raw, literal, refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=False
    )
    link["refdoc"] = inliner.document.settings.env.docname
    return [link], []


def name_types(app: Sphinx, document: nodes.document) -> None:
    """Lead types of annotations to their public names; words of a description of a type, such as ``rows``, are no links."""
    for link in list(document.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "py" and link.get("reftype") in ("class", "obj", "exc"):
            target = target_of(link["reftarget"])
            if target is None:
                link.replace_self(link.children)
            else:
                link["reftarget"] = target
                link["reftype"] = "obj"
                link.attributes.pop("refspecific", None)
    for text in list(document.findall(nodes.Text)):
        if text == " -- ":  # between a parameter and its description
            text.parent.replace(text, nodes.Text(": "))
    for name in document.findall(nodes.field_name):
        if name.astext() == "Variables":  # as Sphinx calls attributes
            name.children[:] = [nodes.Text("Attributes")]


def link_code(app: Sphinx, document: nodes.document) -> None:
    """Lead the first mention of each public name on a page, such as ``bs.open(...)`` between backquotes, to its page in the reference."""
    seen = set()
    if app.env.docname.startswith("reference/"):
        return
    for code in list(document.findall(nodes.literal)):
        found = re.match(r"(bs(?:\.\w+)+)(?:\(.*\))?$", code.astext(), re.DOTALL)
        target = target_of(found[1]) if found else None
        ancestor, linked = code.parent, target is None or target in seen
        while ancestor is not None and not linked:
            linked = isinstance(ancestor, nodes.reference | nodes.title | addnodes.pending_xref)
            ancestor = ancestor.parent
        if not linked:
            seen.add(target)
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refdoc=app.env.docname
            )
            code.replace_self(link)
            link += code


def resolve(app: Sphinx, env: Any, link: addnodes.pending_xref, content: nodes.Node) -> nodes.Node | None:
    """Lead attributes that have no description of their own to their class."""
    owner, _, _ = link.get("reftarget", "").rpartition(".")
    if link.get("refdomain") != "py" or owner not in public_names().values():
        return None
    return env.get_domain("py").resolve_xref(env, link["refdoc"], app.builder, "obj", owner, link, content)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the role and the resolver."""
    app.add_role("name", name_role)
    app.connect("doctree-read", name_types)
    app.connect("doctree-read", link_code)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
