"""Explains every key of the config in the words that stand beside it in the source.

The comments of base.py and its neighbours are the one place where keys are explained:
what stands above a key and behind it. A key without words of its own has those of the
block it is in.
"""

import ast
import functools
import io
import pathlib
import tokenize
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.config import base

_FOLDER = pathlib.Path(__file__).parent
_MODULES = {"model": "models", "loss": "losses", "sampler": "data/samplers"}


def lines(config: ConfigDict | None = None) -> list[str]:
    """A line for every key: name, value in `config` (default: base()), words.

    They come in the order of the source, which the words were written for.
    """
    config = base.base() if config is None else config
    words, out = comments(), []
    place = {key: n for n, key in enumerate(_Source("base.py").of_base())}

    def places(key: str) -> list[int]:
        parts = key.split(".")
        blocks = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
        return [place.get(block, len(place)) for block in blocks]

    for key, value in sorted(base.items(config), key=lambda item: places(item[0])):
        if isinstance(value, ConfigDict) and len(value):
            continue
        shown = "{}" if isinstance(value, ConfigDict) else repr(value)
        out.append(f"--config.{key}={shown}")
        if about := words.get(key):
            out.append(f"    {about}")
    return out


def comments() -> dict[str, str]:
    """{key: what the source says of it}, for every key of base()."""
    own = _Source("base.py").of_base()
    out = {}
    for key in base.defaults():
        parts = key.split(".")
        blocks = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        first = next((block for block in blocks if own.get(block)), None)
        text = own.get(first, "")
        if first not in (None, key):
            text = f"of {first}: {text}"
        kind = _MODULES.get(parts[0])
        if len(parts) > 1 and kind and parts[1] in lookup.names(kind):
            file = f"jaxseg/{kind}/{parts[1]}.py"
            text = f"see {file}" if first == parts[0] else f"{text}; {file}"
        out[key] = text
    return out


class _Source:
    """One file of defaults: its syntax tree and its comments by line."""

    def __init__(self, name: str) -> None:
        text = (_FOLDER / name).read_text("utf-8")
        self.code = text.splitlines()
        self.functions = {
            node.name: node
            for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef)
        }
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        self.comments = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokens
            if token.type == tokenize.COMMENT
        }

    def of_base(self) -> dict[str, str]:
        """The comments of all that base() assigns to its config."""
        out: dict[str, str] = {}
        for node in self.functions["base"].body:
            if isinstance(node, ast.Assign) and isinstance(
                node.targets[0], ast.Attribute
            ):
                key = node.targets[0].attr
                out[key] = self._beside(node.lineno, node.value)
                self._inside(node.value, key, {}, out)
        return out

    def _beside(self, line: int, value: ast.expr) -> str:
        """The comment lines right above, and what stands behind the value."""
        above, n = [], line - 1
        while self.code[n - 1].strip().startswith("#"):
            above.insert(0, self.comments[n])
            n -= 1
        behind = self.comments.get(line, "")
        if not behind and not isinstance(value, ast.Dict):
            behind = self.comments.get(value.end_lineno, "")
        return " ".join([*above, *filter(None, [behind])])

    def _inside(
        self,
        value: ast.expr,
        path: str,
        names: Mapping[str, ast.expr],
        out: dict[str, str],
    ) -> None:
        """Adds the comments of what a value holds, wherever that is written."""
        if isinstance(value, ast.Name) and value.id in names:
            self._inside(names[value.id], path, names, out)
        elif isinstance(value, ast.Dict):
            first: set[int] = set()  # lines that a key began on already
            for key, below in zip(value.keys, value.values, strict=True):
                if key is None:
                    self._inside(below, path, names, out)
                    continue
                name = f"{path}.{key.value}"
                again = key.lineno in first
                out[name] = "" if again else self._beside(key.lineno, below)
                first.add(key.lineno)
                self._inside(below, name, names, out)
        elif isinstance(value, ast.DictComp):
            self._comprehended(value, path, names, out)
        elif isinstance(value, ast.Call):
            self._called(value, path, names, out)

    def _comprehended(self, value: ast.DictComp, path, names, out) -> None:
        """The two kinds that are used: a part of a dict, and a weight for each term."""
        source = value.generators[0].iter
        if isinstance(source, ast.Call):  # unet.items()
            source = source.func.value
        self._inside(source, path, names, out)

    def _called(self, call: ast.Call, path, names, out) -> None:
        """The dict that a function returns, of this file or of a neighbour."""
        function, source = call.func, self
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            if not function.value.id.startswith("base_"):
                return
            source = _source(f"{function.value.id}.py")
            name = function.attr
        else:
            name = getattr(function, "id", "")
        if name == "dict" and call.args:
            self._inside(call.args[0], path, names, out)
        node = source.functions.get(name)
        if node is None:
            return
        local: dict[str, Any] = {}
        for step in node.body:
            if isinstance(step, ast.Assign):
                local[step.targets[0].id] = step.value
            elif isinstance(step, ast.Return) and not isinstance(step.value, ast.Call):
                text = ast.get_docstring(node) or ""
                if path not in out or not out[path]:
                    out[path] = " ".join(text.split())
                source._inside(step.value, path, local, out)


@functools.cache
def _source(name: str) -> _Source:
    return _Source(name)
