"""At what scale images are seen, and whether windows show what they were placed for."""

import dataclasses

import numpy as np
import pytest
from support import doctored

from jaxseg.data import crops
from jaxseg.types import IGNORE


def sized(case, name, size):
    """The case with a split whose images say they have another size."""
    split = case.experiment.splits[name]
    sizes = np.tile(np.array(size), (len(split), 1))
    return doctored.splitting(case, **{name: dataclasses.replace(split, sizes=sizes)})


def seen(case, **view):
    parts = case.experiment.parts
    scorer = case.experiment.scorer
    changed = dataclasses.replace(parts.view, **view)
    return doctored.spoiled(
        case, parts=parts._replace(view=changed), scorer=scorer._replace(view=changed)
    )


def windows(case, share=0.33, **changes):
    """The case with windows of 16 x 16 of its images at native scale."""
    split = case.experiment.splits["train"]
    chances = crops.class_chances(split.pixels)
    place = crops.Windows((16, 16), 0, share, chances, False)
    found = seen(case, fit="crop", size=(16, 16))
    return doctored.spoiled(found, windows=lambda: place._replace(**changes))


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_split_that_is_scaled_otherwise_than_train_is_named(folder, fit):
    healthy = seen(folder, fit=fit)
    assert doctored.levels(healthy, "image_scale") == {"image_scale": "ok"}
    twin = sized(healthy, "test", (144, 120))
    finding = doctored.found(twin, "image_scale")["image_scale"]
    assert finding.level == "warning" and "test is scaled otherwise" in finding.why
    factor = 64 / 48 if fit == "pad" else (64 / 48 * 64 / 40) ** 0.5
    assert f"x {factor:.3g} ({factor:.3g} to {factor:.3g}) in train" in finding.observed
    third = {"stretch": "x 0.487", "pad": "x 0.443"}  # pad rounds to whole pixels
    assert third[fit] in finding.observed
    assert "config.data.fit=crop" in finding.fix


def test_training_images_of_several_scales_are_a_warning_too(folder):
    twin = sized(folder, "train", (48, 40))
    twin.experiment.splits["train"].sizes[:3] = 96, 80
    finding = doctored.found(twin, "image_scale")["image_scale"]
    assert finding.level == "warning" and "among themselves" in finding.why


def test_native_scale_says_what_the_others_would_do(folder):
    twin = sized(seen(folder, fit="crop", size=(32, 32)), "test", (144, 120))
    finding = doctored.found(twin, "image_scale")["image_scale"]
    assert finding.level == "ok" and "native scale in windows of 32 x 32" in (
        finding.observed
    )
    assert "stretch would be x 0.73" in finding.observed
    assert "pad would be x 0.671" in finding.observed


def test_a_window_larger_than_most_images_is_mostly_padding(folder):
    twin = seen(folder, fit="crop", size=(64, 64))
    finding = doctored.found(twin, "image_scale")["image_scale"]
    assert finding.level == "warning" and "12 of 12 images of train" in finding.observed
    assert "the median image is 48 x 40" in finding.fix
    almost = seen(folder, fit="crop", size=(48, 48))  # padded by a sixth
    assert doctored.levels(almost, "image_scale") == {"image_scale": "ok"}


def test_windows_around_foreground_show_it(folder):
    whole = doctored.found(folder, "foreground_windows")["foreground_windows"]
    assert whole.level == "ok" and "shows whole images" in whole.observed
    finding = doctored.found(windows(folder), "foreground_windows")
    assert finding["foreground_windows"].level == "ok"
    words = finding["foreground_windows"].observed.split()
    around, fore = (
        int(words[words.index("windows") + 1]),
        int(words[words.index("show") - 1]),
    )
    assert 5 <= around <= fore < 64


def test_windows_that_miss_their_class_are_an_error(folder):
    class Shifted(crops.Windows):
        def __call__(self, number, index, mask):
            at = super().__call__(number, index, mask)
            return at._replace(top=0, left=0)

    twin = windows(folder)
    wrong = Shifted(*twin.experiment.windows())
    twin = doctored.spoiled(twin, windows=lambda: wrong)
    finding = doctored.found(twin, "foreground_windows")["foreground_windows"]
    assert finding.level == "error" and "do not show their class" in finding.observed


def test_windows_without_any_foreground_are_a_warning(folder):
    class Empty(crops.Windows):
        def __call__(self, number, index, mask):
            return crops.Placed(-100, -100, IGNORE)

    twin = windows(folder)
    nothing = Empty(*twin.experiment.windows())
    twin = doctored.spoiled(twin, windows=lambda: nothing)
    finding = doctored.found(twin, "foreground_windows")["foreground_windows"]
    assert finding.level == "warning" and "0 show foreground" in finding.observed


def test_a_run_at_native_scale_passes_the_checks_of_its_feeding(folder):
    config = folder.config.copy_and_resolve_references()
    config.data.fit, config.data.image_size = "crop", (32, 32)
    case = doctored.small(doctored.case(config))
    names = ("image_scale", "foreground_windows", "sampling_share", "supervision")
    names += ("value_range", "co_transform", "unreadable", "loss_terms")
    found = doctored.found(case, *names)
    assert {n: f.observed for n, f in found.items() if f.level != "ok"} == {}
    config.supervision.name = "clicks"
    config.loss.partial_cross_entropy.weight = 1.0
    drawn = doctored.found(doctored.case(config), "supervision")["supervision"]
    assert drawn.level == "ok" and "the same ones in the second epoch" in drawn.observed
