"""HPARAMS shows a dozen settings at most, the telling ones first."""

import pytest
from support import runs

from jaxseg.train import hyperparameters


@pytest.mark.parametrize("name", ["pneumothorax", "folder", "cracks", "microbeads"])
def test_a_dozen_at_most_and_the_usual_ones_first(name):
    config = runs.config(name, recipe="")
    table = hyperparameters.chosen(config)
    assert 5 <= len(table) <= 12
    assert list(table)[0] == "model.name" and table["model.name"] == config.model.name
    assert table["optim.learning_rate"] == config.optim.learning_rate
    assert ("steps" in table) == bool(config.steps)
    assert not any(key.startswith(("data.dir", "eval.")) for key in table)


def test_weights_of_terms_in_use_are_there_and_no_others():
    config = runs.config("pneumothorax", **{"loss.focal.weight": 0.25})
    table = hyperparameters.chosen(config)
    used = {f"loss.{n}.weight" for n, b in config.loss.items() if b.weight != 0}
    assert {k for k in table if k.startswith("loss.")} >= used
    assert table["loss.focal.weight"] == 0.25 and "loss.tversky.weight" not in table
