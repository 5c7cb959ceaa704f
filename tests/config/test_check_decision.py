"""Heads of whole images and their losses: what does not fit is said before JAX."""

import pytest

from jaxseg.config import base, check, check_decision
from jaxseg.errors import ConfigError
from jaxseg.experiment import decision
from jaxseg.losses import image_cross_entropy
from jaxseg.models import _decided, _heads, segdecnet, unet

HEAD = {"decision.name": "segdec", "loss.image_cross_entropy.weight": 1.0}
SOFTMAX, EACH = check_decision.OF_CLASSES
OF_CLASSES = {"decision.name": "pooled", "decision.pooled.outputs": 0}
OF_CLASSES |= {f"loss.{SOFTMAX}.weight": 1.0}


def config(**changes):
    out = base.base()
    out.update_from_flattened_dict({"data.dir": "/data", "loss.dice.weight": 1.0})
    out.update_from_flattened_dict(changes)
    return out


def test_the_names_are_those_of_the_modules():
    assert check_decision.HEADS == tuple(_heads.BUILT_IN)
    blocks = {*base.base().decision} - {"name", "fields"}
    assert blocks == {*_heads.BUILT_IN}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        HEAD,
        HEAD | {"decision.name": "pooled"},
        HEAD | {"loss.image_cross_entropy.weight": ("staircase", 0.0, 0.01)},
        {"model.name": "segdecnet", "loss.coarse_cross_entropy.weight": 1.0},
        HEAD | {"target.name": "border"},
        OF_CLASSES,
        OF_CLASSES | {"decision.pooled.outputs": 3},
        OF_CLASSES | {"loss.dice.weight": 0.0, "eval.metric": "class_accuracy"},
        OF_CLASSES | {f"loss.{SOFTMAX}.weight": 0.0, f"loss.{EACH}.weight": 1.0},
    ],
)
def test_what_fits_together_passes(changes):
    check.check(config(**changes))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"decision.name": "segdek"}, "decision.name is 'segdek': did you mean 'segde"),
        ({"decision.name": "segdec"}, "no loss teaches that head"),
        (
            {"decision.name": "segdec"}
            | {"loss.image_cross_entropy.weight": ((0.0, 0.0), (1.0, 0.0))},
            "no loss teaches that head",
        ),
        ({"loss.image_cross_entropy.weight": 0.1}, "decides nothing about whole"),
        (
            HEAD | {"loss.image_cross_entropy.weight": -0.01},
            "image_cross_entropy.weight is -0.01, which is below 0",
        ),
        (
            HEAD | {"loss.image_cross_entropy.weight": ("staircase", 0.0, -0.01)},
            "below 0 at some time",
        ),
        (
            HEAD | {"decision.segdec.features_multiplier": 1.5},
            "features_multiplier is 1.5; it must be from 0 to 1",
        ),
        (
            HEAD | {"decision.segdec.maximum_multiplier": -0.1},
            "maximum_multiplier is -",
        ),
        (
            HEAD | {"decision.segdec.kernel": 4},
            "segdec.kernel is 4; give an odd number",
        ),
        ({"model.segdecnet.top_kernel": 6}, "top_kernel is 6; give an odd number"),
        ({"loss.coarse_cross_entropy.dilate": 2}, "dilate is 2; give an odd number"),
        ({"loss.coarse_cross_entropy.weight": 1.0}, "name=unet has no logits at 1/8"),
        (
            {"loss.coarse_cross_entropy.weight": 1.0, "model.name": "segdecnet"}
            | {"model.segdecnet.decoder": True},
            "segdecnet with its decoder has no logits at 1/8",
        ),
        (HEAD | {"target.name": "star"}, "head reads the logits of classes"),
        (HEAD | {"decision.name": "my_lab.head"}, "no module my_lab.head"),
        (
            OF_CLASSES | {"decision.name": ""},
            f"{SOFTMAX}.weight is 1.0, but .*'pooled'",
        ),
        (OF_CLASSES | {"decision.name": "segdec"}, "says one number.* use 'pooled'"),
        (OF_CLASSES | {"decision.pooled.outputs": 1}, "outputs is 1, whether"),
        (OF_CLASSES | {f"loss.{EACH}.weight": 1.0}, "give a weight to one of them"),
        (OF_CLASSES | {f"loss.{SOFTMAX}.weight": -1.0}, "below 0"),
        (
            HEAD | {"decision.name": "pooled", "decision.pooled.outputs": 0},
            "outputs is 0, for classes of whole images, but no loss teaches",
        ),
        (
            OF_CLASSES | {"loss.image_cross_entropy.weight": 1.0},
            "learns from one logit",
        ),
        (OF_CLASSES | {"decision.pooled.outputs": -1}, "outputs is -1; it must be at"),
        (
            OF_CLASSES | {f"loss.{SOFTMAX}.label_smoothing": 1.0},
            "label_smoothing is 1.0; it must be from 0 to below 1",
        ),
        (
            OF_CLASSES | {f"loss.{SOFTMAX}.class_weights": "invers"},
            "did you mean 'inverse'",
        ),
        (
            OF_CLASSES | {f"loss.{EACH}.positive_weights": (-1.0, 1.0)},
            "give numbers of at least 0",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes, words):
    with pytest.raises(ConfigError, match=words) as told:
        check.check(config(**changes))
    assert "\n" not in str(told.value)


def test_the_head_of_a_config_stands_around_its_model():
    plain = unet.Model(2, widths=(4, 6))
    assert decision.around(config(), plain) is plain
    changes = HEAD | {"decision.segdec.features_multiplier": 0.5}
    whole = decision.around(config(**changes), plain)
    assert isinstance(whole, _decided.Decided) and decision.inner(whole) is plain
    assert whole.decision == _heads.SegDec(features_multiplier=0.5)
    assert decision.inner(plain) is plain


def test_a_head_of_a_project(tmp_path, monkeypatch):
    (tmp_path / "own_heads").mkdir()
    (tmp_path / "own_heads" / "mine.py").write_text(
        "import flax.linen as nn\n"
        "class Head(nn.Module):\n"
        "    width: int = 3\n"
        "    @nn.compact\n"
        "    def __call__(self, features, logits, *, train):\n"
        "        return nn.Dense(1)(nn.Dense(self.width)(features.mean((1, 2))))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = config(**HEAD | {"decision.name": "own_heads.mine"})
    own.decision.fields = {"width": 5}
    check.check(own)
    whole = decision.around(own, segdecnet.Model(2))
    assert whole.decision.width == 5
    own.decision.fields = {"depth": 5}
    with pytest.raises(ConfigError, match="config.decision.fields: own_heads.mine"):
        decision.around(own, segdecnet.Model(2))


def test_a_head_that_no_term_asks_for_is_refused_once_the_terms_are_there():
    head = config(**{"decision.name": "pooled"})
    teaching = {"mine": (image_cross_entropy.loss, 1.0)}
    decision.check(head, teaching)
    with pytest.raises(ConfigError, match="no loss of config.loss asks for"):
        decision.check(head, {})
    decision.check(config(), {})
