"""A supervision that cannot be is refused before JAX starts."""

import pytest
from support import runs

from jaxseg import errors
from jaxseg.config import check

MIXED = {"supervision.name": "mixed"}


@pytest.mark.parametrize(
    "changes, words",
    [
        (MIXED | {"supervision.masks": -0.5}, "masks is -0.5; it must be at least 0"),
        (MIXED | {"supervision.masks": 2.5}, "or a whole number of them above 1"),
        (MIXED | {"supervision.paths": ("no.txt",)}, "no.txt, which does not exist"),
        ({"supervision.name": "mixd"}, "did you mean 'mixed'"),
        (MIXED | {"supervision.masks": 0.0, "data.fit": "crop"}, "of a window in it"),
        (
            MIXED | {"supervision.masks": 0.0, "data.pixel_size": 2.0},
            "pixel_size is set.*of a window in it",
        ),
        (
            {"supervision.name": "image_level", "data.fit": "crop"},
            "'image_level': the label of an image says nothing of a window",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(changes, words):
    with pytest.raises(errors.ConfigError, match=words):
        check.check(runs.config("folder", **{"data.dir": "somewhere", **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"supervision.masks": 0.1, "data.fit": "crop"},
        {"supervision.masks": 53.0, "data.pixel_size": 2.0},
        {"supervision.paths": (__file__,)},
    ],
)
def test_what_can_be_is_taken(changes):
    check.check(runs.config("folder", **{"data.dir": "somewhere", **MIXED, **changes}))


def test_a_share_beside_a_list_is_refused():
    changes = MIXED | {"supervision.masks": 0.5, "supervision.paths": (__file__,)}
    with pytest.raises(errors.ConfigError, match="set masks to 1.0, or paths to"):
        check.check(runs.config("folder", **{"data.dir": "somewhere", **changes}))
