"""What is said of a value before JAX starts is what the modules say later."""

import math

import pytest

from jaxseg.config import base, check, limits
from jaxseg.data.supervision import clicks
from jaxseg.errors import ConfigError
from jaxseg.losses import partial_cross_entropy
from jaxseg.models import _blocks, _resnet, _unet, swin_upernet


def test_the_words_are_those_of_the_modules():
    assert limits.WORDS["model.*.norm"] == _blocks.NORMS
    assert limits.WORDS["model.*.decoder_norm"] == (*_blocks.NORMS, "none")
    assert limits.WORDS["model.*.up"] == _unet.UPS
    assert limits.WORDS["model.*.down"] == _unet.DOWNS
    assert limits.WORDS["model.*.activation"] == tuple(_blocks.ACTIVATIONS)
    assert limits.WORDS["model.resnet_unet.depth"] == tuple(_resnet.BLOCKS)
    assert limits.WORDS["model.swin_upernet.size"] == tuple(swin_upernet.SIZES)
    balance = limits.WORDS["loss.partial_cross_entropy.balance"]
    assert set(balance) == set(partial_cross_entropy._BALANCES)
    assert limits.WORDS["supervision.strategy"] == tuple(clicks._ORDERS)


@pytest.mark.parametrize("table", [limits.RANGES, limits.WORDS, limits.ROWS])
def test_every_limit_is_of_a_key(table):
    keys = base.keys(base.base())
    ends = {(key.split(".")[0], key.split(".")[-1]) for key in keys}
    for key in table:
        first, *middle, last = key.split(".") if "." in key else (key, key)
        assert key in keys or (middle == ["*"] and (first, last) in ends), key


def test_the_defaults_are_within_them():
    limits.check(base.base())


def _with(**changes):
    config = base.base()
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", 0, "config.epochs is 0; it must be at least 1."),
        ("optim.ema", 1.0, "config.optim.ema is 1.0; it must be from 0 to below 1."),
        ("optim.final_scale", 2.0, "it must be from 0 to 1."),
        ("optim.weight_decay", -1.0, "it must be at least 0."),
        ("checkpoint.keep", 1, "it must be at least 2."),
        ("model.unet.norm", "batc", "did you mean 'batch'?"),
        ("model.resnet_unet.depth", 20, "choose one of ['18', '34', '50', '101']"),
        ("model.unet.widths", (8.5,), "whole numbers of at least 1, such as 64,128"),
        ("model.unet.widths", (8, 0), "(8, 0); give whole numbers"),
        ("model.swin_upernet.depths", ("a",), "whole numbers of at least 1"),
        ("loss.dice.classes", (-1,), "whole numbers of at least 0"),
        ("deep_weights", ("a", 1.0), "give numbers of at least 0"),
        ("data.workers", 10**5, "it must be from 0 to 256."),
        ("seed", 10**20, "it must be from 0 to 4,294,967,295."),
        ("folds", 1000, "it must be from 0 to 100."),
        ("optim.learning_rate", 0.0, "it must be from 1e-12 to 100."),
        ("data.image_size", (10**6, 8), "whole numbers from 1 to 32768"),
        ("mix.erase_area", (0.5, 0.1), "the smallest share of the image"),
        ("mix.erase_area", (0.1,), "give two numbers"),
        ("data.image_size", (64, 64.5), "whole numbers from 1 to 32768"),
    ],
)
def test_a_value_out_of_its_limits_is_one_sentence(key, value, words):
    with pytest.raises(ConfigError) as told:
        limits.check(_with(**{key: value}))
    assert words in str(told.value) and f"config.{key} is" in str(told.value)


NEGATIVE = -(10**6)


def _numeric():
    """(key, its default) of every number, and of every row of numbers."""
    config = base.base()
    for key in base.keys(config):
        value = base.get(config, key)
        row = value if isinstance(value, tuple) else (value,)
        numbers = [isinstance(x, (int, float)) and not isinstance(x, bool) for x in row]
        if row and all(numbers):
            yield key, value


@pytest.mark.parametrize("bad", [math.inf, NEGATIVE])
def test_no_number_may_be_endless_or_far_below(bad):
    """Whatever the key: said before any data is touched."""
    config, accepted = base.base(), []
    config.data.dir = "/somewhere"
    for key, value in _numeric():
        if bad != NEGATIVE and isinstance(value, int):
            continue  # the config itself wants a whole number
        wrong = (bad,) * len(value) if isinstance(value, tuple) else type(value)(bad)
        block, _, last = key.rpartition(".")
        block = base.get(config, block) if block else config
        block[last] = wrong
        try:
            check.check(config)
            accepted.append(key)
        except ConfigError as error:
            assert key.split(".")[0] in str(error), key
        block[last] = value
    check.check(config)
    assert not accepted


@pytest.mark.parametrize(
    "key",
    ["optim.ema", "optim.plateau.factor", "model.unet.dropout", "doctor.prevalence"]
    + ["mix.cutmix", "sampler.balanced.share", "sampler.by_class.share"]
    + ["augment.flip_horizontal", "data.foreground_share", "objects.min_circularity"],
)
def test_a_share_is_not_above_one(key):
    config = _with(**{key: 1.5, "data.dir": "/somewhere"})
    with pytest.raises(ConfigError, match=f"{key} is 1.5"):
        check.check(config)


def test_a_term_of_ones_own_may_mean_something_else():
    config = base.base()
    config.loss.mine = {"module": "my_lab.my_loss", "weight": 1.0, "smooth": -1.0}
    limits.check(config)


_CLICKS = "supervision.name is 'clicks'"


@pytest.mark.parametrize(
    ("key", "changes", "why"),
    [
        ("sampler.by_class.share", {}, "sampler.name is 'uniform'"),
        ("sampler.by_class.share", {"sampler.name": "by_class"}, ""),
        ("model.swin_upernet.width", {}, "model.name is 'unet'"),
        ("model.unet.widths", {}, ""),
        ("model.name", {}, ""),
        ("loss.focal.gamma", {}, "loss.focal.weight is 0"),
        ("loss.focal.gamma", {"loss.focal.weight": 0.5}, ""),
        ("supervision.positive", {}, "supervision.name is 'full'"),
        ("supervision.positive", {"supervision.name": "clicks"}, ""),
        ("supervision.masks", {"supervision.name": "clicks"}, _CLICKS),
        ("supervision.masks", {"supervision.name": "mixed"}, ""),
        ("supervision.name", {}, ""),
        ("seed", {}, ""),
    ],
)
def test_a_setting_without_effect_is_said(key, changes, why):
    lines = limits.without_effect(_with(**changes), [key])
    assert lines == ([f"config.{key} has no effect: config.{why}."] if why else [])


def test_weights_of_levels_that_no_model_gives_are_said():
    (line,) = limits.without_effect(_with(deep_weights=(0.5, 0.5)), [])
    assert "config.deep_weights has no effect: unet was not asked" in line
    deep = {"deep_weights": (0.5, 0.5), "model.unet.deep_supervision": True}
    assert limits.without_effect(_with(**deep), []) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pretrained.path": "/nowhere"}, "pretrained.path is /nowhere, which does"),
        ({"supervision.name": "stored"}, "supervision.paths is empty"),
        ({"supervision.paths": ("/nowhere",)}, "names /nowhere, which does not exist"),
        ({"data.intensity.low": 5.0, "data.intensity.high": 1.0}, "low must be less"),
        ({"sampler.balanced.share": "a"}, "sampler.balanced.share is 'a'; give a num"),
        ({"sampler.by_class.share": "a"}, "by_class.share is 'a'; give a number"),
    ],
)
def test_what_belongs_together_is_looked_at(changes, words):
    config = _with(**{"data.dir": "/data", "loss.dice.weight": 1.0} | changes)
    with pytest.raises(ConfigError, match=words):
        check.check(config)
