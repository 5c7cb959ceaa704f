"""A run is called too short where its validation curve rises, not where it is flat."""

import numpy as np
import pytest

from jaxseg.report import end_of_curve


def _run(values, every=1, column="validation/dice_pooled"):
    rows = []
    for i, value in enumerate(values, start=1):
        shown = None if i % every else float(value)
        rows.append({"epoch": float(i), column: shown})
    info = {"best": {"metric": column.removeprefix("validation/")}}
    return {"history": rows, "info": info}


def _noise(seed, n=60):
    return 0.01 * np.random.default_rng(seed).normal(size=n)


_EPOCHS = np.arange(1, 61)
_FLAT = 0.8 * (1 - np.exp(-_EPOCHS / 4))
_RISING = _FLAT + 0.1 * _EPOCHS / 60
_DECAYING = _FLAT - 0.002 * np.maximum(_EPOCHS - 20, 0)


@pytest.mark.parametrize("every", [1, 3])
def test_a_flat_noisy_end_is_long_enough(every):
    """Of 200 curves the best epoch is late in many; next to none is called short."""
    ends = [end_of_curve.end(_run(_FLAT + _noise(s), every)) for s in range(200)]
    answers = [end.answer for end in ends]
    late = np.mean([end.epoch > 54 for end in ends])
    assert late > 0.1  # the former rule called all of these too short
    assert answers.count("improving") < 0.08 * len(answers)
    assert answers.count("flat") > 0.3 * len(answers)


@pytest.mark.parametrize("every", [1, 3])
def test_a_rising_end_is_too_short(every):
    ends = [end_of_curve.end(_run(_RISING + _noise(s), every)) for s in range(50)]
    answers = [end.answer for end in ends]
    assert answers.count("improving") > (0.95 if every == 1 else 0.6) * len(answers)
    assert answers.count("flat") < 0.05 * len(answers)


def test_a_decaying_end_is_long_enough():
    for seed in range(50):
        end = end_of_curve.end(_run(_DECAYING + _noise(seed)))
        assert end.answer == "early" and end.gain is None


def test_the_line_is_that_of_least_squares():
    """Values 0.5, 0.6, 0.6, 0.7 at 1, 2, 3, 4: slope 0.06, residual sum 0.002."""
    run = _run([0.1] * 8 + [0.5, 0.6, 0.6, 0.7])
    end = end_of_curve.end(run)
    assert end.count == 4 and end.epochs == 12 and end.last == 0.7
    np.testing.assert_allclose(end.gain, 0.06 * 3)
    np.testing.assert_allclose(end.noise, np.sqrt(0.002 / 2))
    assert end.answer == "improving"  # t = 0.06 / sqrt(0.001 / 5) = 4.2 above 2.92


def test_a_sure_gain_that_is_not_worth_it_is_flat():
    """0.009 over the last third of a best value of 0.909, without any noise."""
    slight = [0.9] * 20 + list(0.9 + 0.001 * np.arange(10))
    end = end_of_curve.end(_run(slight))
    assert end.answer == "flat" and end.noise < 1e-12
    np.testing.assert_allclose(end.gain, 0.009)
    more = [0.9] * 20 + list(0.9 + 0.0011 * np.arange(10))
    assert end_of_curve.end(_run(more)).answer == "improving"


def test_a_falling_loss_improves():
    values = 1 - 0.01 * _EPOCHS
    assert end_of_curve.end(_run(values, column="validation/loss")).answer == (
        "improving"
    )
    assert end_of_curve.end(_run(-values, column="validation/loss")).answer == "early"


def test_few_validations_decide_nothing():
    assert end_of_curve.end(_run(_RISING[:9])) is None
    end = end_of_curve.end(_run(_RISING[:30], every=5))
    assert end.answer == "undecided" and end.count == 2 and end.gain is None
    assert end_of_curve.end(_run(_DECAYING, every=20)).answer == "early"


def test_a_rise_that_is_not_sure_is_not_flat():
    """It rises by half of its best value, too noisily for four points to be sure."""
    rising = end_of_curve.end(_run([0.1] * 6 + [0.4, 0.911, 0.5, 0.9]))
    assert rising.answer == "undecided" and rising.count == 4
    assert rising.gain > 0.3 and rising.most > 0.9


def test_noise_that_hides_a_rise_is_not_flat():
    """The line falls, and yet a rise of more than 5 % of the best is not excluded."""
    noisy = end_of_curve.end(_run([0.1] * 6 + [0.7, 0.9, 0.4, 0.8]))
    assert noisy.answer == "undecided" and noisy.gain < 0 < noisy.most
    calm = end_of_curve.end(_run([0.1] * 6 + [0.895, 0.9, 0.89, 0.895]))
    assert calm.answer == "flat" and calm.most < 0.05 * 0.9
