"""A name in a config is a public file in a folder; the error lists the choices.

Nothing is imported to answer `names` or `check`, so a wrong name is reported before
JAX starts.
"""

import difflib
import importlib
import pathlib
import types
from collections.abc import Sequence

from jaxseg.errors import ConfigError

_HERE = pathlib.Path(__file__).parent
TERMS = ("losses", "regularisers")  # the folders of what config.loss names


def names(kind: str) -> list[str]:
    """Sorted public modules of `jaxseg/<kind>/`; `kind` may be "data/samplers"."""
    return sorted(p.stem for p in (_HERE / kind).glob("*.py") if p.stem[0] != "_")


def check(kind: str | Sequence[str], name: str) -> str:
    """The folder that has `name`, of one or the first of several.

    Raises ConfigError, with the nearest right name, when `name` is not a choice.
    """
    kinds = [kind] if isinstance(kind, str) else kind
    choices = {one: names(one) for one in kinds}
    for folder, there in choices.items():
        if name in there:
            return folder
    near = difflib.get_close_matches(name, sum(choices.values(), []), n=1)
    every = " or ".join(f"{there} (jaxseg/{one}/)" for one, there in choices.items())
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {every}."
    folders = " and ".join(f"jaxseg/{one}/" for one in kinds)
    have = "has" if len(kinds) == 1 else "have"
    raise ConfigError(f"{folders} {have} no {name!r}: {hint}")


def find(kind: str | Sequence[str], name: str) -> types.ModuleType:
    """The module `jaxseg/<kind>/<name>.py`; raises ConfigError for a wrong name."""
    folder = check(kind, name)
    return importlib.import_module(f"jaxseg.{folder.replace('/', '.')}.{name}")
