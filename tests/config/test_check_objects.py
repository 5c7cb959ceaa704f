"""Targets and rules of objects that do not fit are refused before JAX starts."""

import pytest
from support import runs

from jaxseg import errors
from jaxseg.config import check, limits
from jaxseg.run_directory import older_configs

BORDER = {"target.name": "border", "loss.cross_entropy.weight": 1.0}


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"target.name": "boarder"},
            "targets/ has no 'boarder': did you mean 'border'",
        ),
        ({"objects.rule": "watersheds"}, "did you mean 'watershed'"),
        ({"objects.rule": "decision"}, "jaxseg/postprocess/objects/ has no 'decision'"),
        ({"objects.objective": "f1_5"}, "objective is 'f1_5': did you mean 'f1_"),
        (
            {"objects.rule": "star"},
            "learns 'star', but config.target.name is 'classes'",
        ),
        ({"objects.rule": "border", "target.name": "star"}, "learns 'border', but"),
        ({"target.name": "star", "supervision.name": "clicks"}, "set it to 'full'"),
        (BORDER | {"loss.cross_entropy.class_weights": "auto"}, "such as 1,1,3"),
        ({"target.star.n_rays": 3}, "target.star.n_rays is 3; it must be at least 4"),
        ({"target.border.width": 0}, "target.border.width is 0; it must be at least 1"),
        ({"objects.min_area": -1}, "objects.min_area is -1; it must be at least 0"),
        ({"operating_point.rule": "watershed"}, "operating_point.rule is 'watershed'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes, words):
    with pytest.raises(errors.ConfigError, match=words):
        check.check(runs.config("folder", **{"data.dir": "somewhere", **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"objects.rule": "watershed"},
        {"objects.rule": "components", "target.name": "star"},
        BORDER | {"objects.rule": "border", "loss.cross_entropy.class_weights": None},
    ],
)
def test_what_fits_is_taken(changes):
    check.check(runs.config("folder", **{"data.dir": "somewhere", **changes}))


def test_what_has_no_effect_is_said():
    config = runs.config("folder", **{"target.name": "border"})
    typed = ["target.border.width", "target.star.reach", "objects.min_area"]
    lines = limits.without_effect(config, [*typed, "target.name", "objects.rule"])
    assert lines == [
        "config.target.star.reach has no effect: config.target.name is 'border'.",
        "config.objects.min_area has no effect: config.objects.rule is ''.",
    ]


def test_a_rule_has_an_effect_and_settings_without_a_rule_have_none():
    config = runs.config("folder", **{"objects.rule": "watershed"})
    assert limits.without_effect(config, ["objects.min_area"]) == []
    config.objects.rule = ""
    (line,) = limits.without_effect(config, ["objects.min_area"])
    assert line.startswith("config.objects.min_area has no effect")


def test_settings_of_another_target_do_not_make_another_run():
    config = runs.config("folder")
    same = older_configs.effective(config.to_dict())
    config.target.star.reach = 9
    assert older_configs.effective(config.to_dict()) == same
    config.target.name = "star"
    assert older_configs.effective(config.to_dict()) != same
