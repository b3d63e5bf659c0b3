"""Documentation of fields: the strings below their annotations, which Python does not keep.

    bid_max: U32
    \"\"\"Largest quantity of one bid.\"\"\"

They are read from the source of the module, once per module. Without the source there is none; so
nothing but what people read may depend on it.
"""

import ast
import functools
import inspect
import itertools
import sys
from collections.abc import Mapping
from typing import Any

Docs = Mapping[str, tuple[str, ...]]

NO_DOCS: Docs = {}


def docs_of_fields(cls: type) -> Docs:
    """The lines of documentation of a class's annotated fields, by name."""
    return _docs_of_module(cls.__module__).get(cls.__qualname__, NO_DOCS)


def docs_of(documented: object) -> tuple[str, ...]:
    """The lines of an object's own docstring."""
    own: dict[str, Any] = getattr(documented, "__dict__", {})
    text: str | None = own.get("__doc__") if isinstance(documented, type) else documented.__doc__
    return _lines(text) if text else ()


def docs_of_type(cls: type) -> tuple[str, ...]:
    """The lines of a class's docstring, or of its module's if it has none."""
    return docs_of(cls) or docs_of(sys.modules[cls.__module__])


@functools.cache
def _docs_of_module(name: str) -> Mapping[str, Docs]:
    module = sys.modules.get(name)
    if module is None:
        return {}
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return {}
    found: dict[str, Docs] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found[node.name] = _docs_of_body(node.body)
    return found


def _docs_of_body(body: list[ast.stmt]) -> Docs:
    docs: dict[str, tuple[str, ...]] = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(ast.Constant(str(text))):
                    docs[field.target.id.removesuffix("_")] = _lines(text)
                case _:
                    pass
    return docs


def _lines(text: str) -> tuple[str, ...]:
    return tuple(inspect.cleandoc(text).split("\n"))
