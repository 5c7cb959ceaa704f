"""Questions about answers on whole images: what cannot be asked is said before JAX."""

import pytest

from jaxseg.config import base, check, limits
from jaxseg.errors import ConfigError

HEAD = {"decision.name": "pooled", "loss.image_cross_entropy.weight": 1.0}


def config(**changes):
    out = base.base()
    out.update_from_flattened_dict({"data.dir": "/data", "loss.dice.weight": 1.0})
    out.update_from_flattened_dict(changes)
    return out


@pytest.mark.parametrize(
    "changes",
    [
        HEAD | {"eval.shortcut": True},
        HEAD | {"eval.shortcut": True, "eval.shortcut_classes": ("lung",)},
        HEAD | {"eval.localise.mask_class": "lung"},
        {"parent": "runs/a", "note": "heavier weights for the rare class"},
    ],
)
def test_what_fits_together_passes(changes):
    check.check(config(**changes))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"eval.shortcut": True}, "config.eval.shortcut asks .*decision.name"),
        ({"eval.localise.mask_class": "a"}, "config.eval.localise asks"),
        (
            HEAD | {"eval.localise.image_class": "covid19"},
            "mask_class is '': name the pixel class",
        ),
        (HEAD | {"eval.shortcut_classes": (1,)}, "shortcut_classes is .1,.; give text"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(changes, words):
    with pytest.raises(ConfigError, match=words):
        check.check(config(**changes))


def test_classes_without_the_question_are_said_to_be_unused():
    (line,) = limits.without_effect(
        config(**HEAD | {"eval.shortcut_classes": ("lung",)}),
        ["eval.shortcut_classes"],
    )
    assert "has no effect: config.eval.shortcut is False" in line
