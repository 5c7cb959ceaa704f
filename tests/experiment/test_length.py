"""Steps or epochs: one is given, the other follows, and warm-up likewise."""

import pytest
from support import runs

from jaxseg import errors
from jaxseg.config import check
from jaxseg.experiment import length


def _config(**changes):
    return runs.config("folder", **{"data.dir": "somewhere", **changes})


@pytest.mark.parametrize(
    "changes, epoch_size, batch_size, want",
    [
        # epochs, as ever: 20 images in batches of 8 are two steps and a half
        ({"epochs": 7}, 20, 8, (2, 14, 7)),
        ({"epochs": 7}, 3, 8, (1, 7, 7)),
        ({"epochs": 7, "steps_per_epoch": 250}, 20, 8, (250, 1750, 7)),
        # steps win; the last epoch is shorter
        ({"epochs": 7, "steps": 25}, 80, 8, (10, 25, 3)),
        ({"steps": 20}, 80, 8, (10, 20, 2)),
        ({"steps": 5}, 80, 8, (10, 5, 1)),
        ({"steps": 600, "steps_per_epoch": 250}, 80, 8, (250, 600, 3)),
        # 8 images in one batch: 100 validations, not 400; whole passes of the sampler
        ({"steps": 400}, 8, 8, (4, 400, 100)),
        ({"steps": 401}, 8, 8, (5, 401, 81)),
        ({"steps": 1000}, 24, 8, (12, 1000, 84)),
        ({"steps": 400, "steps_per_epoch": 1}, 8, 8, (1, 400, 400)),
    ],
)
def test_one_is_given_and_the_others_follow(changes, epoch_size, batch_size, want):
    config = _config(**changes)
    check.check(config)
    got = length.of(config, epoch_size=epoch_size, batch_size=batch_size)
    assert got == want and got.epochs <= max(100, want[2])


@pytest.mark.parametrize(
    "changes, want",
    [
        ({"optim.warmup_epochs": 1.5}, 15),
        ({"optim.warmup_epochs": 0.0}, 0),
        ({"optim.warmup_epochs": 1.5, "optim.warmup_steps": 0}, 0),
        ({"optim.warmup_epochs": 1.5, "optim.warmup_steps": 40}, 40),
    ],
)
def test_warm_up_in_epochs_or_in_steps(changes, want):
    assert length.warmup_steps(_config(**changes), 10) == want


@pytest.mark.parametrize("key", ["steps", "steps_per_epoch", "optim.warmup_steps"])
def test_a_number_of_steps_that_is_none(key):
    with pytest.raises(errors.ConfigError, match=f"config.{key} is -2; it must be at"):
        check.check(_config(**{key: -2}))
