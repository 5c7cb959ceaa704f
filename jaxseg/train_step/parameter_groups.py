"""What of a model learns, and how fast: groups of parameters by their path.

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
from collections.abc import Iterable
from typing import Any, NamedTuple

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
    """Trees like the parameters."""

    scales: Any  # float: times the learning rate
    frozen: Any  # bool: still, for a time or for ever


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
    known = paths(params)
    places = depths(known)
    deepest = max((d for d in places.values() if d is not None), default=None)
    if deepest is None and encoder_scale != 1:
        raise ConfigError(_no_encoder("encoder_scale", known))
    if not deepest and layer_decay != 1:
        raise ConfigError(_no_encoder("layer_decay", known))
    frozen = matching(known, freeze, name="freeze")
    if known and len(frozen) == len(known):
        raise ConfigError(
            f"config.transfer.freeze is {tuple(freeze)}, which leaves nothing to train."
        )

    def scale(path):
        if places[path] is None:
            return decoder_scale
        return encoder_scale * layer_decay ** (deepest + 1 - places[path])

    return Groups(_like(params, scale), _like(params, frozen.__contains__))


def idle(
    *,
    freeze: Iterable[str] = (),
    encoder_scale: float = 1.0,
    decoder_scale: float = 1.0,
    layer_decay: float = 1.0,
) -> bool:
    """Whether `groups` with these would change nothing."""
    return not tuple(freeze) and encoder_scale == decoder_scale == layer_decay == 1


def paths(tree: Any) -> dict[str, Any]:
    """{path: leaf}, in the order of the leaves."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}


def depths(known: Iterable[str]) -> dict[str, int | None]:
    """The depth in its encoder of every path; None in the decoder."""
    halves = {path: _halves(path) for path in known}
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
    """(stage, block) of the name of a block; the stage is 0 where it has none."""
    found = _BLOCK.fullmatch(block)
    return int(found[1] or found[2] or 0), int(found[3])


def matching(known: Iterable[str], patterns: Iterable[str], *, name: str) -> set[str]:
    """The paths that any pattern matches; ConfigError for one that matches none.

    `name` is the key within config.transfer that holds the patterns.
    """
    known, out = list(known), set()
    for pattern in patterns:
        found = {path for path in known if fnmatch.fnmatchcase(path, pattern)}
        if not found:
            parents = {p[:i] + "/*" for p in known for i in _slashes(p)}
            choices = sorted(parents | set(known))
            near = difflib.get_close_matches(pattern, choices, n=3, cutoff=0.5)
            near = near or [c for c in choices if c.count("/") < 2]
            raise ConfigError(
                f"config.transfer.{name} has {pattern!r}, which matches nothing; the "
                f"nearest are {', '.join(map(repr, near[:8]))}."
            )
        out |= found
    return out


def _slashes(path: str) -> list[int]:
    return [i for i, letter in enumerate(path) if letter == "/"]


def _like(tree: Any, fn) -> Any:
    """A tree of fn(path)."""
    return jax.tree.unflatten(jax.tree.structure(tree), map(fn, paths(tree)))


def _no_encoder(name: str, known: Iterable[str]) -> str:
    tops = sorted({path.split("/")[0] for path in known})
    blocks = " with numbered blocks" if name == "layer_decay" else ""
    return (
        f"config.transfer.{name} needs a module named encoder or backbone{blocks}, but "
        f"the modules of this model are {', '.join(tops)}; set it to 1."
    )


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
    for decoder, scale, still in sorted(counts):
        name = "decoder" if decoder else "encoder"
        if layered and not decoder:
            name += f": {', '.join(parts[decoder, scale, still])}"
        until = f"step {frozen_until}" if frozen_until else "the end"
        count = f"{counts[decoder, scale, still]:,}"
        rows.append((name, count, f"{scale:.4g}", until if still else "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}"
        for a, b, c, d in rows
    )


def silent(grads: Any, frozen: Any) -> list[str]:
    """Paths of parameters, not frozen, whose gradient is exactly 0 everywhere.

    `grads` may be any tree that is 0 where no gradient ever came, such as Adam's mean
    over some steps (`optim.seen`). One step alone can be silent for good reasons: drop
    path, layers that start at 0, a batch without labels.
    """
    some = jax.jit(functools.partial(jax.tree.map, lambda g: jnp.any(g != 0)))(grads)
    still = paths(frozen)
    return [path for path, yes in paths(some).items() if not yes and not still[path]]


def check_silent(grads: Any, frozen: Any) -> None:
    """Raises ConfigError that names what is `silent`."""
    dead = silent(grads, frozen)
    if dead:
        raise ConfigError(
            f"{len(dead)} parameter(s) got no gradient in {WATCH} steps, so the loss "
            f"does not depend on them: {', '.join(dead[:8])}"
            f"{', ...' if len(dead) > 8 else ''}; switch the part off, give it a "
            "weight in the loss, or name it in config.transfer.freeze."
        )
