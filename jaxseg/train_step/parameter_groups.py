"""Sorts parameters into groups that learn at one rate, or not at all.

A path joins names by "/", as in "encoder/layer1_0/conv1/kernel"; a pattern is matched
to the whole of it, and * crosses "/" (Python's fnmatch), so "encoder/*" is all of the
encoder. The encoder is the module "encoder" or "backbone", the decoder all the rest.

Depth of the encoder's parts, for a rate that falls layer by layer (Bao et al., 2021,
https://arxiv.org/abs/2106.08254): its blocks (stage1_block0, layer1_0, blocks_0,
level1) count 1, 2, 3 ... in order; what stands at the end of stage i (stage1_norm,
merge1) counts as the last block of it; everything else, the stem, is 0. With n blocks
the rate at depth d is multiplied by layer_decay ** (n + 1 - d), the decoder's by 1.
"""

import difflib
import fnmatch
import functools
import re
import types
from collections.abc import Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.errors import ConfigError

ENCODERS = ("encoder", "backbone")
# steps whose gradients together show which parameters get none: by then a warm-up from
# 0 has begun, layers that start at 0 have moved, and drop path has let every block by
WATCH = 10
_BLOCK = re.compile(r"(?:stage(\d+)_block|layer(\d+)_|blocks_|level)(\d+)")
_STAGE_END = re.compile(r"(?:stage|merge)(\d+)(?:_norm)?")


class Groups(NamedTuple):
    """Two trees like the parameters."""

    scales: Any  # float: times the learning rate
    frozen: Any  # bool: does not learn, for a time or for ever


def groups(
    params: Any,
    *,
    freeze: Iterable[str] = (),
    encoder_scale: float = 1.0,
    decoder_scale: float = 1.0,
    layer_decay: float = 1.0,
) -> Groups:
    """The factor of each parameter's learning rate, and whether it is frozen.

    Raises ConfigError for a pattern that matches nothing, for factors out of range, for
    factors of an encoder that is not there, and when nothing is left to train.
    """
    for name, value in {"encoder": encoder_scale, "decoder": decoder_scale}.items():
        if value <= 0:
            raise ConfigError(
                f"config.transfer.{name}_scale is {value}; it must be above 0 (to keep "
                "parameters as they are, name them in config.transfer.freeze)."
            )
    if not 0 < layer_decay <= 1:
        raise ConfigError(
            f"config.transfer.layer_decay is {layer_decay}; it must be in (0, 1]."
        )
    every = paths(params)
    depth_of = depths(every)
    deepest = max((d for d in depth_of.values() if d is not None), default=None)
    if deepest is None and encoder_scale != 1:
        raise ConfigError(_no_encoder("encoder_scale", every))
    if not deepest and layer_decay != 1:
        raise ConfigError(_no_encoder("layer_decay", every))
    frozen = matching(every, freeze, name="freeze")
    if every and len(frozen) == len(every):
        raise ConfigError(
            f"config.transfer.freeze is {tuple(freeze)}, which leaves nothing to train."
        )

    def scale(path):
        if depth_of[path] is None:
            return decoder_scale
        return encoder_scale * layer_decay ** (deepest + 1 - depth_of[path])

    return Groups(_like(params, scale), _like(params, frozen.__contains__))


def idle(
    *,
    freeze: Iterable[str] = (),
    encoder_scale: float = 1.0,
    decoder_scale: float = 1.0,
    layer_decay: float = 1.0,
) -> bool:
    """Whether `groups` with these settings would change nothing."""
    return not tuple(freeze) and encoder_scale == decoder_scale == layer_decay == 1


def paths(tree: Any) -> dict[str, Any]:
    """{path: leaf}, in the order of the leaves."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}


def depths(every: Iterable[str]) -> dict[str, int | None]:
    """The depth of every path in its encoder; None in the decoder."""
    halves = {path: _halves(path) for path in every}
    inside = {part: 0 for top, part in halves.values() if top}
    blocks = sorted((p for p in inside if _BLOCK.fullmatch(p)), key=_numbers)
    inside |= {name: i + 1 for i, name in enumerate(blocks)}
    for name in inside.keys() - blocks:
        end = _STAGE_END.fullmatch(name)
        stage = [b for b in blocks if end and _numbers(b)[0] == int(end[1])]
        inside[name] = max((inside[b] for b in stage), default=0)
    return {path: inside[part] if top else None for path, (top, part) in halves.items()}


def _halves(path: str) -> tuple[str, str]:
    """("encoder", the part of it), or ("", the module) in the decoder."""
    top, _, rest = path.partition("/")
    if top in ENCODERS and rest:
        return top, rest.split("/")[0]
    return "", top


def _numbers(block: str) -> tuple[int, int]:
    """(stage, block) in the name of a block; the stage is 0 where it has none."""
    match = _BLOCK.fullmatch(block)
    return int(match[1] or match[2] or 0), int(match[3])


def matching(every: Iterable[str], patterns: Iterable[str], *, name: str) -> set[str]:
    """The paths that any pattern matches; ConfigError for one that matches none.

    `name` is the key within config.transfer that holds the patterns.
    """
    every, out = list(every), set()
    for pattern in patterns:
        matches = {path for path in every if fnmatch.fnmatchcase(path, pattern)}
        if not matches:
            parents = {p[:i] + "/*" for p in every for i in _slashes(p)}
            choices = sorted(parents | set(every))
            near = difflib.get_close_matches(pattern, choices, n=3, cutoff=0.5)
            near = near or [c for c in choices if c.count("/") < 2]
            raise ConfigError(
                f"config.transfer.{name} has {pattern!r}, which matches nothing; the "
                f"nearest are {', '.join(map(repr, near[:8]))}."
            )
        out |= matches
    return out


def _slashes(path: str) -> list[int]:
    return [i for i, letter in enumerate(path) if letter == "/"]


def _like(tree: Any, fn) -> Any:
    """A tree of fn(path)."""
    return jax.tree.unflatten(jax.tree.structure(tree), map(fn, paths(tree)))


def _no_encoder(name: str, every: Iterable[str]) -> str:
    tops = sorted({path.split("/")[0] for path in every})
    blocks = " with numbered blocks" if name == "layer_decay" else ""
    return (
        f"config.transfer.{name} needs a module named encoder or backbone{blocks}, but "
        f"the modules of this model are {', '.join(tops)}; set it to 1."
    )


def frozen_norms(
    model_state: Any, patterns: Iterable[str]
) -> tuple[set[str], set[str]]:
    """(batch norms that keep their statistics, those that do not): paths of modules.

    Raises ConfigError for a pattern that matches none.
    """
    leaves = paths(model_state.get("batch_stats", {}))
    every = {path.rpartition("/")[0] for path in leaves}
    frozen = matching(sorted(every), patterns, name="freeze_norm")
    return frozen, every - frozen


def freeze_model(
    model: Any,
    *,
    freeze: Iterable[str] = (),
    frozen_until: int = 0,
    freeze_norm: Iterable[str] = (),
) -> Any:
    """The model for training: an object with the `apply` of `model`, or `model` itself.

    Batch norms that match `freeze_norm` normalise by their running statistics, which
    stay as they are; scale and bias learn unless they are frozen too. Parameters that
    are frozen for ever (`frozen_until` 0) get no gradient, so that none is computed.
    """
    freeze = () if frozen_until else tuple(freeze)
    freeze_norm = tuple(freeze_norm)
    if not freeze and not freeze_norm:
        return model

    def apply(variables, *args, **kwargs):
        params = variables["params"]
        rest = {k: v for k, v in variables.items() if k != "params"}
        frozen = matching(paths(params), freeze, name="freeze")
        stopped = [
            jax.lax.stop_gradient(leaf) if path in frozen else leaf
            for path, leaf in paths(params).items()
        ]
        params = jax.tree.unflatten(jax.tree.structure(params), stopped)
        norms, _ = frozen_norms(rest, freeze_norm)
        with nn.intercept_methods(functools.partial(_as_in_evaluation, norms)):
            return model.apply({"params": params, **rest}, *args, **kwargs)

    return types.SimpleNamespace(apply=apply)


def _as_in_evaluation(norms: set[str], call, args, kwargs, context):
    """Calls a module; a batch norm among `norms` as if train were False."""
    module = context.module
    if context.method_name == "__call__" and "/".join(module.path) in norms:
        if "train" in kwargs:
            kwargs = {**kwargs, "train": False}
        elif module.use_running_average is None:  # Flax's own takes it here
            args, kwargs = args[:1], {**kwargs, "use_running_average": True}
        else:  # or as a field, and then refuses the argument
            object.__setattr__(module, "use_running_average", True)
    return call(*args, **kwargs)


def table(params: Any, chosen: Groups, *, frozen_until: int) -> str:
    """Rows of: group, parameters, learning-rate factor, frozen until.

    A group is the parameters of encoder or decoder with the same factor, either frozen
    or not; `chosen` is from `groups`, of `params`, which may be shapes.
    """
    scales, frozen = paths(chosen.scales), paths(chosen.frozen)
    counts, parts = {}, {}
    for path, leaf in paths(params).items():
        top, part = _halves(path)
        key = (not top, scales[path], frozen[path])
        counts[key] = counts.get(key, 0) + leaf.size
        parts.setdefault(key, {})[part] = None
    layered = len({key[1] for key in counts if not key[0]}) > 1
    rows = [("group", "parameters", "learning rate x", "frozen until")]
    for key in sorted(counts):
        decoder, scale, is_frozen = key
        name = "decoder" if decoder else "encoder"
        if layered and not decoder:
            name += f": {', '.join(parts[key])}"
        until = f"step {frozen_until}" if frozen_until else "the end"
        rows.append(
            (name, f"{counts[key]:,}", f"{scale:.4g}", until if is_frozen else "-")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}"
        for a, b, c, d in rows
    )


def silent(grads: Any, frozen: Any) -> list[str]:
    """Paths of parameters, not frozen, whose gradient is exactly 0 everywhere.

    `grads` may be any tree that is 0 where no gradient ever came, such as Adam's mean
    over some steps (`optimizer.gradient_means`). One step alone can be silent for good
    reasons: drop path, layers that start at 0, a batch without labels.
    """
    moved = jax.jit(functools.partial(jax.tree.map, lambda g: jnp.any(g != 0)))(grads)
    frozen = paths(frozen)
    return [path for path, yes in paths(moved).items() if not yes and not frozen[path]]


def check_silent(grads: Any, frozen: Any) -> None:
    """Raises ConfigError that names the `silent` parameters, if there are any."""
    names = silent(grads, frozen)
    if names:
        raise ConfigError(
            f"{len(names)} parameter(s) got no gradient in {WATCH} steps, so the loss "
            f"does not depend on them: {', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}; switch the part off, give it a "
            "weight in the loss, or name it in config.transfer.freeze."
        )
