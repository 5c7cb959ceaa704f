"""Cases of more than two classes: their colours, their legend, their order."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxseg import pictures
from jaxseg.report import derived_numbers, page
from jaxseg.report.read import read
from jaxseg.report.run import build, cases, panels


@pytest.fixture
def split(classes):
    return derived_numbers.main_split(read(classes))


def _pixels(picture):
    return np.array(Image.open(io.BytesIO(picture["png"])).convert("RGB"))


def _colour(entry):
    return tuple(bytes.fromhex(entry["colour"][1:]))


def _blend(under, colour, strength):
    return np.rint((1 - strength) * under + strength * np.array(colour, float))


def test_no_colour_of_the_legend_means_two_things(split):
    legend = cases.legend(split)
    colours = [_colour(entry) for entry in legend]
    assert len(colours) == len(set(colours)) == 5 + 4 + 1
    assert colours[:5] == pictures.class_colours(5)
    words = [entry["words"] for entry in legend]
    assert words[0] == "sky blue: pneumothorax" and words[4] == "yellow: mass"
    assert words[5] == "errors, white: right class" and words[-1].startswith("grey")
    split["result"]["classes"] = [f"class {c}" for c in range(12)]
    words = [entry["words"] for entry in cases.legend(split)]
    assert words[7] == "#dd22ff: class 8"


def _middle(pixel, scale):
    """Where the middle of a pixel stands in a panel that is larger."""
    return tuple(((pixel + 0.5) * scale).astype(int))


def test_panels_show_classes_in_colour_and_errors_apart(split):
    """Every class and every error is looked up at a pixel that has it."""
    scale = panels.SIDE / 48
    shown = set()
    examples = cases.cases(split)
    by_id = {case["id"]: case for case in split["cases"]}
    for example in examples:
        case = by_id[example["id"]]
        truth = np.array(Image.open(case["mask"]))
        prediction = np.array(Image.open(case["prediction"]))
        image, drawn, guess, errors = map(_pixels, example["panels"])
        assert example["words"] == ["input", "truth", "prediction", "errors"]
        areas = pictures.error_areas(truth, prediction)
        for panel, ids in ((drawn, truth), (guess, prediction)):
            for c in np.unique(ids[(ids > 0) & (truth < 255)]):
                at = _middle(np.argwhere((ids == c) & (truth < 255))[0], scale)
                colour = pictures.class_colours(5)[c - 1]
                expected = _blend(image[at], colour, 0.6)
                np.testing.assert_allclose(panel[at], expected, atol=1)
                shown.add(int(c))
        for name, area in areas.items():
            if area.any():
                at = _middle(np.argwhere(area)[0], scale)
                off = errors[at].astype(int) - np.array(pictures.ERRORS[name])
                assert abs(off).max() <= 0.2 * 190 + 1, name  # of the pale image
                shown.add(name)
    assert shown >= {1, 2, 4, 5, *pictures.ERRORS}


def test_unlabelled_pixels_are_grey_whatever_is_predicted(split):
    case = cases.cases(split)[0]
    image, *panels = map(_pixels, case["panels"])
    for panel in panels[:2]:
        expected = _blend(image[3, 3], cases.UNLABELLED, 0.6)
        np.testing.assert_allclose(panel[3, 3], expected, atol=1)


def test_cases_are_told_by_their_worst_class(split):
    examples = cases.cases(split)
    by_id = {case["id"]: case for case in split["cases"]}
    worst = next(e for e in examples if e["role"] == "worst")
    case = by_id[worst["id"]]
    lead = f"Worst class {case['worst_class']}: Dice {case['worst_dice']:.3f}. "
    assert worst["note"].startswith(lead)
    assert f"Foreground of all classes: Dice {case['dice']:.3f}. " in worst["note"]
    words = cases.order_in_words(split)
    assert "by the Dice of the worst class" in words
    side_by_side, legend, _ = cases.highlights(split, examples)
    caption = side_by_side["pictures"][-1]["caption"]
    assert caption.endswith(f"worst class {case['worst_class']}: Dice 0.000")
    assert [e["words"] for e in legend["entries"]][0] == "sky blue: pneumothorax"
    assert len(legend["entries"]) == 5


def test_cases_without_a_worst_class_are_told_by_dice(split):
    for case in split["cases"]:
        case["worst_class"] = case["worst_dice"] = None
    notes = [case["note"] for case in cases.cases(split)]
    assert all(note.startswith("Dice ") for note in notes)
    assert "are by Dice among images" in cases.order_in_words(split)


def test_four_panels_stand_in_one_row(classes, undrawn):
    html = page.render(build.content(read(classes)), "html")
    assert html.count('<div class="panels four">') == 5
    for word in ("input", "truth", "prediction", "errors"):
        assert html.count(f"<figcaption>{word}</figcaption>") == 5


def test_two_classes_keep_their_three_panels(binary):
    split = derived_numbers.main_split(read(binary))
    assert all(len(case["panels"]) == 3 for case in cases.cases(split))
    colours = [_colour(entry) for entry in cases.legend(split)]
    assert colours[0] == pictures.class_colours(1)[0]
    assert len(set(colours)) == len(colours) == 5
