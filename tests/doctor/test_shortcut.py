"""The doctor names labels that a border gives away, and accuses no clean films."""

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from support import doctored, small_films

from jaxseg.doctor import border, images, logistic

SEEDS = range(10)


@pytest.mark.parametrize("classes", [True, False])
def test_ten_clean_sets_are_not_accused(classes):
    for seed in SEEDS:
        case = small_films.case(small_films.draw(seed), classes=classes)
        found = border.shortcut(case)
        assert found.level == "ok", (seed, found)
        assert "120 of train" in found.observed


def test_a_letter_in_the_corner_of_one_class_is_named_ten_times_of_ten():
    for seed in SEEDS:
        found = border.shortcut(
            small_films.case(small_films.draw(seed, planted="covid19"))
        )
        assert found.level == "warning", (seed, found)
        accused = found.observed.split(": ")[0]
        assert "covid19 by frame and corners" in accused
        assert "normal" not in accused and "non_covid" not in accused
        assert "letter" in found.why and "config.eval.shortcut" in found.fix


def test_a_scanner_of_one_class_is_named_by_its_grey_levels():
    found = border.shortcut(small_films.case(small_films.draw(0, scanner="non_covid")))
    assert found.level == "warning"
    assert "non_covid by grey levels of the outer eighth" in found.observed


def test_a_label_of_foreground_is_given_away_too():
    rng, films = np.random.default_rng(0), []
    for image, mask, kind in small_films.draw(0, 60):
        image = image.copy()
        if kind:  # every film with a patch has a bright edge
            image[:3] = 200 + rng.integers(0, 40)
        films.append((image, mask, kind))
    found = border.shortcut(small_films.case(films, classes=False))
    assert found.level == "warning"
    assert found.observed.startswith("foreground by frame and corners")


def test_images_of_one_group_are_never_on_both_sides():
    groups = [f"g{i // 4}" for i in range(60)]
    fold = logistic.folds(groups)
    for name in set(groups):
        of_group = {f for g, f in zip(groups, fold, strict=True) if g == name}
        assert len(of_group) == 1
    assert {*fold} == {*range(logistic.FOLDS)}


def test_memory_of_single_images_is_no_knowledge():
    """Copies of 20 images under other ids tell a random label; in one group, not."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(rng.normal(size=(20, 50)), 6, axis=0)
    positive = np.repeat(rng.permutation(20) < 10, 6)
    apart = [str(i) for i in range(120)]
    together = [str(i // 6) for i in range(120)]
    label = border.Label("x", np.ones(120, bool), positive)
    assert border.tell(label, numbers, apart).value > 0.95
    assert border.tell(label, numbers, together).value < 0.8


def test_the_fit_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(80, 5))
    positive = numbers[:, 0] + rng.normal(size=80) > 0.3
    weights = logistic.fit(numbers, positive)
    # scikit-learn adds the losses of all images; here their mean counts
    other = LogisticRegression(C=1 / (80 * logistic.PENALTY), tol=1e-10)
    other.fit(numbers, positive)
    np.testing.assert_allclose(weights[:-1], other.coef_[0], atol=1e-4)
    np.testing.assert_allclose(weights[-1], other.intercept_[0], atol=1e-4)


def test_unknown_labels_and_few_images_are_not_asked():
    case = small_films.case(small_films.draw(0, 60, planted="covid19"))
    case.experiment.splits["train"].image_classes[5:] = -1
    found = border.shortcut(case)
    assert found.level == "ok" and "no class has 10 images" in found.observed


def test_of_two_exclusive_classes_one_is_asked():
    case = small_films.case(small_films.draw(0, 60))
    split = case.experiment.splits["train"]
    split.image_classes = split.image_classes[:, :2].copy()
    split.image_classes[:, 0] = 1 - split.image_classes[:, 1]
    split.image_class_names = ["other", "covid19"]
    observed = border.shortcut(case).observed
    assert "covid19 by" in observed and "other by" not in observed


def test_marked_pixels_and_those_beside_them_do_not_count():
    image = np.full((40, 40, 1), 100, np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[:4, 10:14] = 1
    image[:6, 8:16] = 250  # the object and its rim
    assert np.count_nonzero(border.tones(image, mask)) == 1
    mask[:] = 255  # not labelled: nothing is marked
    assert np.count_nonzero(border.tones(image, mask)) == 2


def test_the_inner_part_of_an_image_does_not_count():
    image = np.full((64, 64, 1), 100, np.uint8)
    other = image.copy()
    cv2.rectangle(other, (12, 12), (51, 51), 255, -1)
    mask = np.zeros((64, 64), np.uint8)
    np.testing.assert_array_equal(border.frame(image), border.frame(other))
    np.testing.assert_array_equal(border.tones(image, mask), border.tones(other, mask))


def test_the_numbers_come_from_the_images_as_stored(folder):
    looks = folder.scan()
    example = folder.experiment.splits["train"][3]
    look = looks[3]
    assert isinstance(look, images.Look) and look.id == example["id"]
    assert not look.problem
    np.testing.assert_array_equal(look.frame, border.frame(example["image"]))
    np.testing.assert_array_equal(
        look.tones, border.tones(example["image"], example["mask"])
    )
    assert doctored.levels(folder, "shortcut") == {"shortcut": "ok"}
