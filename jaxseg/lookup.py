"""A name in a config is a public file in a folder; the error lists the choices.

Nothing is imported to answer `names` or `check`, so a wrong name is reported before
JAX starts.
"""

import difflib
import importlib
import pathlib
import types

from jaxseg.errors import ConfigError

_HERE = pathlib.Path(__file__).parent


def names(kind: str) -> list[str]:
    """Sorted public modules of `jaxseg/<kind>/`; `kind` may be "data/samplers"."""
    return sorted(p.stem for p in (_HERE / kind).glob("*.py") if p.stem[0] != "_")


def check(kind: str, name: str) -> None:
    """Raises ConfigError, with the nearest right name, when `name` is not a choice."""
    choices = names(kind)
    if name not in choices:
        near = difflib.get_close_matches(name, choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {choices}."
        raise ConfigError(f"jaxseg/{kind}/ has no {name!r}: {hint}")


def find(kind: str, name: str) -> types.ModuleType:
    """The module `jaxseg/<kind>/<name>.py`; raises ConfigError for a wrong name."""
    check(kind, name)
    return importlib.import_module(f"jaxseg.{kind.replace('/', '.')}.{name}")
