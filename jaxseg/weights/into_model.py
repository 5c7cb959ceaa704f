"""Loads published weights into a model, with an account of every parameter.

arrays = read("/weights/upernet-swin-base/model.safetensors")
variables, report = apply(variables, arrays, model_name="swin_upernet", source=...)
"""

import fnmatch
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.errors import ConfigError
from jaxseg.weights import array_layout, published_names, weight_files

read = weight_files.read
_AUXILIARY = re.compile(r"auxiliary_head\.|\w+/aux_")


class Row(NamedTuple):
    """One leaf of the model, or one array of the file that the model does not use."""

    kind: str  # loaded, adapted, re-initialised, unused
    name: str
    size: int
    why: str = ""


class Report(NamedTuple):
    """What became of every parameter of the model and every array of the file."""

    source: str
    title: str  # of the format
    rows: tuple[Row, ...]
    note: str = ""

    def describe(self) -> str:
        """A table for the log: what happened, to how much, and why."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for kind in ("loaded", "adapted", "re-initialised", "unused"):
            for row in self.rows:
                if row.kind == kind:
                    groups.setdefault((kind, row.why), []).append(row)
        lines = [f"weights of {self.source} ({self.title}):"]
        for (kind, why), rows in groups.items():
            size = sum(row.size for row in rows)
            names = (
                ""
                if kind == "loaded"
                else weight_files.listed([r.name for r in rows], shown=2)
            )
            note = ": ".join(part for part in (why, names) if part)
            lines.append(f"  {kind:14} {len(rows):5} {size:13,}  {note}".rstrip())
        lines += [f"  {self.note}"] if self.note else []
        return "\n".join(lines)


def apply(
    variables: Any,
    arrays: Mapping[str, np.ndarray],
    *,
    model_name: str,
    source: str,
    allow_missing: bool | tuple[str, ...] = False,
) -> tuple[Any, Report]:
    """(`variables` with the leaves that `arrays` has, what became of each parameter).

    `variables` is what the model's init returns, or its shapes; leaves that the file
    has become float32 numpy arrays, the others stay the objects they were. A backbone
    alone leaves the decoder as it is; every leaf of the part that the format names
    must be there and fit, and every array must be of use, but for those that
    `allow_missing` says (True, or patterns of their names like "aux_classifier/*").
    Raises ConfigError with the names otherwise, before anything is assigned.
    """
    layout = published_names.recognise(arrays, model=model_name, source=source)
    flat, tree = jax.tree_util.tree_flatten_with_path(variables)
    leaves = {jax.tree_util.keystr(p, simple=True, separator="/"): v for p, v in flat}
    fits, used, problems = {}, set(), []
    for path, leaf in leaves.items():
        names = layout.names(path)
        used.update(names)
        fits[path], problem = _fit(layout, arrays, names, path, tuple(leaf.shape))
        inside = path.split("/", 1)[1]
        if problem and not _allowed(allow_missing, path, inside, *names):
            problems.append(problem)
    unused = [_unused(layout, n, arrays[n], leaves) for n in arrays if n not in used]
    problems += [
        f"{row.name} has no place in the model"
        for row in unused
        if not row.why and not _allowed(allow_missing, row.name)
    ]
    if problems or not any(f.kind in ("loaded", "adapted") for f in fits.values()):
        what = weight_files.listed(problems or ["no array fits"], separator="; ")
        raise ConfigError(
            f"{source} ({layout.title}) does not fit the model {model_name}: {what}. "
            "Change the model's fields, or name what may stay out in "
            "config.pretrained.allow_missing."
        )
    rows = [Row(f.kind, p, leaves[p].size, f.why) for p, f in fits.items()]
    values = [leaves[p] if f.value is None else f.value for p, f in fits.items()]
    report = Report(source, layout.title, (*rows, *unused), layout.note)
    return tree.unflatten(values), report


def place(variables: Any, like: Any) -> Any:
    """`variables` on the devices, each leaf with the dtype and sharding of `like`'s.

    Leaves that are the same object in both are kept; no array is shared otherwise.
    """

    def one(new, old):
        if new is old:
            return old
        array = np.asarray(new, old.dtype)
        return jax.make_array_from_callback(
            array.shape, old.sharding, array.__getitem__
        )

    return jax.tree.map(one, variables, like)


def into_state(
    state: Any,
    arrays: Mapping[str, np.ndarray],
    *,
    model_name: str,
    source: str,
    allow_missing: bool | tuple[str, ...] = False,
) -> tuple[Any, Report]:
    """(a new `TrainState` with these weights, what became of each): `apply` of both.

    The average of parameters, where one is kept, starts from the same numbers.
    """
    variables = {"params": state.params, **state.model_state}
    new, report = apply(
        variables,
        arrays,
        model_name=model_name,
        source=source,
        allow_missing=allow_missing,
    )
    rest = place(new, variables)
    params = rest.pop("params")
    average = None if state.ema_params is None else jax.tree.map(jnp.copy, params)
    state = state.replace(params=params, model_state=rest, ema_params=average)
    return state, report


def collect(variables: Any, names: published_names.Format) -> dict[str, np.ndarray]:
    """{name: float32 array} of all leaves that the format has names for: to export.

    The counters of batches that PyTorch's norms hold are written as 0.
    """
    arrays = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(variables):
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        theirs = names.names(path)
        if theirs and not names.torch:
            arrays[theirs[0]] = np.array(leaf, np.float32)
        elif theirs:
            parts = array_layout.to_torch(np.asarray(leaf), path, len(theirs))
            arrays.update(zip(theirs, parts, strict=True))
            if theirs[0].endswith("running_var"):
                counter = theirs[0].replace("running_var", "num_batches_tracked")
                arrays[counter] = np.zeros((), np.int64)
    return arrays


def _fit(layout, arrays, names, path, shape):
    """(Fit of one leaf, what is wrong with it or "")."""
    if not names:
        return array_layout.Fit("re-initialised", None, layout.lacks), ""
    absent = [name for name in names if name not in arrays]
    if absent:
        fit = array_layout.Fit("re-initialised", None, "not in the file")
        return fit, f"{', '.join(absent)} is missing"
    parts = [arrays[name] for name in names]
    if len({part.shape for part in parts}) == 1:
        if layout.torch:
            value = array_layout.to_ours(parts, path, len(shape))
        else:
            value = np.asarray(parts[0], np.float32)
        fit = array_layout.fit(value, shape, path)
        if fit.kind:
            return fit, ""
    fit = array_layout.Fit("re-initialised", None, "of another shape in the file")
    shapes = " ".join(str(part.shape) for part in parts)
    return fit, f"{', '.join(names)} {shapes} is of another shape than {path} {shape}"


def _unused(layout, name, array, leaves):
    for pattern, why in layout.extras:
        if re.fullmatch(pattern, name):
            return Row("unused", name, array.size, why)
    auxiliary = _AUXILIARY.match(name) and not any(map(_AUXILIARY.match, leaves))
    why = "the model has no auxiliary head" if auxiliary else ""
    return Row("unused", name, array.size, why)


def _allowed(allow_missing, *names):
    if isinstance(allow_missing, bool):
        return allow_missing
    return any(fnmatch.fnmatchcase(n, p) for n in names for p in allow_missing)
