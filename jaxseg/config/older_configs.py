"""What configs of before did not have: a recipe or a run from then still works."""

from ml_collections import ConfigDict

NEW = {
    "num_seeds": 1,
    "sampler.seed": -1,
    "supervision": {
        "name": "full",
        "positive": 10,
        "negative": 10,
        "strategy": "random",
        "length": 40,
        "annotators": 1,
        "seed": -1,
        "paths": (),
    },
    "operating_point.rule": "threshold",
    "eval.surface": True,
    "eval.tolerance": 2.0,
}


def complete(config: ConfigDict) -> ConfigDict:
    """A copy with the keys that it lacks, set to what was the rule before them."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        for key, value in NEW.items():
            *path, last = key.split(".")
            block = config
            for part in path:
                block = block[part]
            if last not in block:
                block[last] = value
    return config
