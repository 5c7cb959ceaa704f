"""Chooses the settings that TensorBoard's HPARAMS shows: few enough to be read."""

from typing import Any

from ml_collections import ConfigDict

from jaxseg.config import base
from jaxseg.run_directory import files, older_configs

MOST = 12  # columns
ALWAYS = ("model.name", "optim.name", "optim.learning_rate", "epochs", "seed")
# what says where a run is and how fast, not what it learns
_IDLE = ("name", "recipe", "recipe_chosen", "parent", "note", "data.dir", "data.raw")
_IDLE += ("data.workers", "data.timeout_s", "log_every", "mesh.data", "mesh.fsdp")
_IDLE += ("data.cache_gib",)


def chosen(config: ConfigDict) -> dict[str, Any]:
    """{key: value} of at most MOST settings that the run depends on.

    Those of ALWAYS come first (`steps` in place of `epochs` where steps decide), then
    weights of the loss, then others that are not as base.py has them.
    """
    now, default = (
        files.flat(files.plain(older_configs.effective(one.to_dict())))
        for one in (config, base.base())
    )
    first = [("steps" if k == "epochs" and config.steps else k) for k in ALWAYS]
    weights = [k for k in now if k.startswith("loss.") and k.endswith(".weight")]
    unused = ("epochs",) if config.steps else ()
    idle = ("auto.", "doctor.", "checkpoint.", "eval.", "data.demo.")
    others = [
        key
        for key, value in now.items()
        if value != default.get(key)
        and key not in (*_IDLE, *unused)
        and not key.startswith(idle)
    ]
    keys = list(dict.fromkeys([*first, *weights, *others]))[:MOST]
    return {key: now[key] for key in keys}
