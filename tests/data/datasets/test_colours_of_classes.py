"""A folder whose masks are painted: classes.txt gives each class its colour."""

import cv2
import numpy as np
import pytest
from PIL import Image
from support import in_process, raster_files
from test_image_folder import folder, stored

from jaxseg import prepare
from jaxseg.data import prepared
from jaxseg.data.datasets import image_folder, microbeads
from jaxseg.data.datasets._folder import check
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

LINES = ["ground 0,0,0", "red cell 255, 0,0", "core  0,0,255", "ignore 255,255,255"]
SHADES = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
SPLITS = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    in_process.use(monkeypatch)


def drawn(count=8):
    """Ids {a00: u8 [h, w]} of every class, 3 where nothing is labelled."""
    rng = np.random.default_rng(3)
    return {f"a{k:02d}": rng.integers(0, 4, (9, 11), np.uint8) for k in range(count)}


def painted(root, *, lines=LINES, ids=None):
    """A folder of such masks in RGB; with `splits.csv`."""
    ids = drawn() if ids is None else ids
    rows = [f"{stem},{split}" for stem, split in zip(ids, SPLITS, strict=False)]
    masks = {stem: SHADES[mask][..., ::-1] for stem, mask in ids.items()}  # cv2: BGR
    return folder(root, masks, splits=["stem,split", *rows], classes=lines)


def examined(source, mask_format="auto"):
    return check.examine(
        source,
        mask_format=mask_format,
        allow_unlabelled=False,
        max_pixels=10_000,
        progress=False,
    )


def test_masks_of_any_kind_are_read_by_their_colours(tmp_path):
    ids = drawn()
    source = painted(tmp_path / "in", ids=ids)
    shuffled = np.array([2, 0, 3, 1])  # a palette in an order of its own
    palette = np.zeros((4, 3), np.uint8)
    palette[shuffled] = SHADES
    raster_files.png(
        source / "masks/a01.png",
        shuffled[ids["a01"]].astype(np.uint8),
        8,
        3,
        palette=palette,
    )
    ids["a02"] = np.where(ids["a02"] % 2, 3, 0)  # grey: black, and white to ignore
    grey = np.where(ids["a02"], 255, 0).astype(np.uint8)
    assert cv2.imwrite(str(source / "masks/a02.png"), grey)
    opaque = np.dstack([SHADES[ids["a03"]], np.full((9, 11), 255, np.uint8)])
    Image.fromarray(opaque).save(source / "masks/a03.png")
    directory = image_folder.prepare(source, tmp_path, progress=False)
    card, examples = prepared.read_card(directory), stored(directory)
    assert card["classes"] == ["ground", "red cell", "core"]
    decided = card["extra"]["mask_format"]
    assert (
        decided["decided"] == "class_ids" and "every class a colour" in decided["why"]
    )
    assert card["extra"]["colours"]["red cell"] == [255, 0, 0]
    assert "  colours of the masks: ground 0,0,0, red cell 255,0,0, core 0,0,255, " in (
        "\n".join(prepare.describe(card))
    )
    for stem, mask in ids.items():
        wanted = np.where(mask == 3, IGNORE, mask)
        np.testing.assert_array_equal(examples[stem]["mask"], wanted, err_msg=stem)


def test_two_classes_and_a_label_of_the_image(tmp_path):
    ids = {stem: (mask > 2).astype(np.uint8) for stem, mask in drawn().items()}
    ids["a00"][:] = 0
    source = painted(tmp_path / "in", ids=ids, lines=LINES[:2])
    examples = stored(image_folder.prepare(source, tmp_path, progress=False))
    assert [examples[stem]["label"] for stem in ("a00", "a01")] == [0, 1]


CASES = {
    "one without": (["a 0,0,0", "b", "c 1,1,1"], r"line 2 has no colour \('b'\)"),
    "above 255": (["a 0,0,0", "b 256,0,0"], "line 2: b has the colour 256,0,0; red"),
    "no number": (["a 0,0,0", f"b {'9' * 5000},0,0"], "line 2 has no colour"),
    "twice": (["a 0,0,0", "b 0,0,0"], "line 2: b has the colour of a, 0,0,0; give"),
    "background last": (
        ["core 0,0,255", "cell 255,0,0", "Background 0,0,0"],
        "the first name is the background, and that is 'core'",
    ),
    "one class": (["a 0,0,0", "ignore 1,1,1"], "2 to 255 different names"),
    "name twice": (["a 0,0,0", "a 1,1,1"], "2 to 255 different names"),
    "ignore twice": (
        ["a 0,0,0", "b 1,1,1", "ignore 2,2,2", "ignore 3,3,3"],
        "2 to 255 different names",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_lines_that_cannot_be_meant(tmp_path, case):
    lines, words = CASES[case]
    with pytest.raises(DataError, match=words):
        examined(painted(tmp_path, lines=lines))


def test_a_colour_that_is_not_listed_names_file_colour_and_pixels(tmp_path):
    source = painted(tmp_path)
    mask = np.zeros((9, 11, 3), np.uint8)
    mask[0, :3] = (254, 0, 0)
    Image.fromarray(mask).save(source / "masks/a01.png")
    with pytest.raises(DataError) as raised:
        examined(source)
    assert (
        f"{source}/masks/a01.png holds the colour 254,0,0 in 3 pixels; classes.txt "
        "lists ground 0,0,0, red cell 255,0,0, core 0,0,255, ignore 255,255,255."
    ) in str(raised.value)
    assert "1 problem(s)" in str(raised.value)


def test_what_keeps_no_colours_is_refused(tmp_path):
    source = painted(tmp_path)
    for k, mode in enumerate(("RGBA", "L", "I;16")):
        Image.new(mode, (11, 9), 0).save(source / f"masks/a0{k}.png")
    (source / "masks/a03.png").unlink()
    Image.new("RGB", (11, 9)).save(source / "masks/a03.jpg")
    with pytest.raises(DataError) as raised:
        examined(source)
    said = str(raised.value)
    assert "3 problem(s)" in said and "a01.png" not in said, said
    assert "a00.png is partly transparent" in said
    assert "a02.png is a mask of 1 x uint16, but classes.txt lists colours" in said
    assert "a03.jpg is a JPEG, which changes colours; save masks as PNG" in said


@pytest.mark.parametrize("mask_format", ["binary", "instances"])
def test_colours_and_another_mask_format_contradict_each_other(tmp_path, mask_format):
    with pytest.raises(DataError, match=f"cannot be read as {mask_format}; set mask_f"):
        examined(painted(tmp_path), mask_format)


@pytest.mark.parametrize("lines", [None, ["ground", "red cell", "core"]])
def test_painted_masks_without_a_list_show_the_lines_to_write(tmp_path, lines):
    ids = {stem: np.minimum(mask, 2) for stem, mask in drawn().items()}
    ids["a00"][:] = 1
    source = painted(tmp_path / "in", lines=lines, ids=ids)
    pixels = np.bincount(np.concatenate([*ids.values()], axis=None))
    with pytest.raises(DataError) as raised:
        examined(source)
    said = str(raised.value)
    assert "1 problem(s)" in said and "8 of 8 masks are in colour" in said
    for shade, count in zip(("0,0,0", "255,0,0", "0,0,255"), pixels, strict=True):
        assert f"{shade} ({100 * count / pixels.sum():.3g} %)" in said
    start = said.splitlines().index("    background 0,0,0")
    proposed = [line.strip() for line in said.splitlines()[start : start + 3]]
    (source / "classes.txt").write_text("\n".join(proposed))
    assert examined(source).classes == ["background", *("class_1", "class_2")]


def test_numbered_objects_are_not_painted(tmp_path):
    with pytest.raises(DataError, match="in colour.*number the objects in one channel"):
        examined(painted(tmp_path, lines=None), "instances")


def test_beads_are_no_classes(tmp_path):
    source = painted(tmp_path / "in", lines=LINES[:3])
    for path in (source / "masks").iterdir():
        Image.new("RGB", (11, 9), (255, 0, 0)).save(path)
    with pytest.raises(DataError, match="masks hold classes .*every class a colour"):
        microbeads.prepare(source, tmp_path, progress=False)
