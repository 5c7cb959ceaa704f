"""The tree of the microbead study: what it holds, and what of it is refused."""

import collections

import cv2
import numpy as np
import pytest
import tifffile
from test_image_folder import SPLITS, folder, listing, stored

from jaxseg import prepare as door
from jaxseg.data import prepared
from jaxseg.data.datasets import microbeads
from jaxseg.errors import ConfigError, DataError


def numbered(count, *, size=(24, 30)):
    """Ids 1..count of squares of 3 x 3; the first two touch."""
    ids = np.zeros(size, np.uint8)
    for k in range(count):
        row, column = divmod(k + (k > 1), 7)
        left = 4 * column - (k == 1)
        ids[4 * row : 4 * row + 3, left : left + 3] = k + 1
    return ids


def white(ids):
    return 255 * (ids > 0).astype(np.uint8)


def tree(root, counts, *, instances=True, masks=white, suffix=""):
    """The tree with so many beads in each image a00, a01 ..."""
    ids = {f"a{k:02}": numbered(count) for k, count in enumerate(counts)}
    folder(root, {k: masks(v) for k, v in ids.items()})
    if instances:
        (root / "instances").mkdir()
        for k, v in ids.items():
            cv2.imwrite(str(root / "instances" / f"{k}.png"), v)
    return root


def prepare(root, **options):
    directory = microbeads.prepare(root, root.parent / "out", progress=False, **options)
    return prepared.read_card(directory), stored(directory)


COUNTS = [3, 4, 2, 7, 9, 8, 16, 17, 20]


def test_masks_and_numbers_beside_them(tmp_path, caplog):
    root = tree(tmp_path / "in", COUNTS)
    before = listing(root)
    card, examples = prepare(root)
    assert listing(root) == before  # nothing is written there
    assert card["classes"] == ["background", "bead"]
    assert card["extra"]["mask_format"]["why"] == "the beads are numbered in instances/"
    for (name, example), count in zip(sorted(examples.items()), COUNTS, strict=True):
        assert name == f"a{COUNTS.index(count):02}"
        np.testing.assert_array_equal(example["instances"], numbered(count))
        np.testing.assert_array_equal(example["mask"], numbered(count) > 0)
    rule = "objects an image (0, 1-4, 5-14, 15-29, 30-99, 100 and more), seed 0"
    assert rule in card["split_rule"] and "test 0.2, by group" in card["split_rule"]
    splits = collections.defaultdict(set)
    for name, example in examples.items():
        splits[np.digitize(COUNTS[int(name[1:])], [5, 15])].add(example["split"])
    assert all(names == set(SPLITS) for names in splits.values())
    (line,) = caplog.messages
    assert "9 of 9 images do not say how large a pixel is" in line


def test_the_card_counts_by_hand(tmp_path):
    card, examples = prepare(tree(tmp_path / "in", COUNTS), pixel_size_um=0.5)
    extra = card["extra"]
    assert extra["objects_are"] == "as they are numbered"
    assert extra["objects"] == sum(COUNTS) == 86
    assert extra["objects_an_image_mean"] == pytest.approx(np.mean(COUNTS))
    assert extra["objects_an_image_sd"] == pytest.approx(np.std(COUNTS))
    assert (extra["objects_an_image_min"], extra["objects_an_image_max"]) == (2, 20)
    assert extra["object_area_px_mean"] == pytest.approx(9)
    assert extra["object_area_um2_mean"] == pytest.approx(9 / 4)
    diameter = extra["object_diameter_px_of_mean_area"]
    assert diameter == pytest.approx(2 * (9 / np.pi) ** 0.5)
    assert "  object diameter px of mean area: 3.38514" in door.describe(card)
    share = extra["foreground_share_mean"]
    assert share == pytest.approx(9 * np.mean(COUNTS) / (24 * 30))
    by_split = extra["objects_by_split"]
    for name in SPLITS:
        here = [COUNTS[int(k[1:])] for k, v in examples.items() if v["split"] == name]
        assert by_split[name]["objects"] == sum(here)
        assert by_split[name]["objects_an_image_mean"] == pytest.approx(np.mean(here))
        assert card["splits"][name]["objects"] == sum(here)


def test_masks_alone_count_touching_beads_as_one(tmp_path, caplog):
    card, examples = prepare(tree(tmp_path / "in", COUNTS, instances=False))
    assert card["extra"]["objects"] == sum(COUNTS) - 9
    assert "touching objects count as one" in card["extra"]["objects_are"]
    assert "touching objects count as one" in caplog.messages[0]
    assert all("instances" not in example for example in examples.values())


@pytest.mark.parametrize("where", ["masks", "instances"])
def test_numbers_in_place_of_masks(tmp_path, where):
    def of(ids):
        return ids

    root = tree(tmp_path / "in", COUNTS, instances=False, masks=of)
    (root / "masks").rename(root / where)
    options = {} if where == "instances" else {"mask_format": "instances"}
    card, examples = prepare(root, **options)
    assert card["extra"]["mask_format"]["decided"] == "instances"
    assert card["extra"]["objects"] == sum(COUNTS)
    np.testing.assert_array_equal(examples["a03"]["instances"], numbered(7))
    np.testing.assert_array_equal(examples["a03"]["mask"], numbered(7) > 0)


def test_jpeg_images_and_masks_as_the_study_has_them(tmp_path):
    root = tree(tmp_path / "in", COUNTS, instances=False)
    for path in sorted(root.rglob("*.png")):
        array = np.kron(cv2.imread(str(path), 0), np.ones((4, 4), np.uint8))
        cv2.imwrite(str(path.with_suffix(".jpg")), array)
        path.unlink()
    card, examples = prepare(root)
    assert "JPEG, which are cut at 127" in card["extra"]["mask_format"]["why"]
    assert card["extra"]["objects"] == sum(COUNTS) - 9
    expected = np.kron(numbered(9) > 0, np.ones((4, 4)))
    assert (examples["a04"]["mask"] != expected).mean() < 0.02


def test_pixel_sizes_come_from_the_files_and_else_from_the_option(tmp_path):
    root = tree(tmp_path / "in", COUNTS)
    image = np.random.default_rng(5).integers(0, 256, (24, 30), np.uint8)
    (root / "images/a04.png").unlink()
    where = root / "images/a04.tif"
    options = {"imagej": True, "metadata": {"unit": "um"}}
    tifffile.imwrite(where, image, resolution=(4, 4), **options)
    prepare(root)
    directory = next((tmp_path / "out/microbeads").iterdir())
    splits = [prepared.open_split(directory, name) for name in SPLITS]
    sizes = {
        k: size for s in splits for k, size in zip(s.ids, s.pixel_sizes, strict=True)
    }
    assert sizes["a04"] == 0.25 and np.isnan(sizes["a03"])
    card, _ = prepare(root, pixel_size_um=0.2501)
    assert card["extra"]["object_area_um2_mean"] == pytest.approx(9 / 16, rel=1e-2)
    with pytest.raises(DataError, match="a04.tif says its pixels are 0.25 micro.*0.3;"):
        prepare(root, pixel_size_um=0.3)


def put(name, array):
    return lambda root: cv2.imwrite(str(root / name), array)


def write(name, text):
    return lambda root: (root / name).write_text(text)


def remove(name):
    return lambda root: (root / name).unlink()


def cut(name):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:40])


def both(*changes):
    return lambda root: [change(root) for change in changes]


def twice(root):
    """The image a00 again, as a01, which is in another split."""
    image = (root / "images/a00.png").read_bytes()
    (root / "images/a01.png").write_bytes(image)
    names = ["train", "validation", "test"] * 3
    rows = [f"a{k:02},{name}" for k, name in enumerate(names)]
    (root / "splits.csv").write_text("\n".join(["stem,split", *rows]))


BLANK = np.zeros((24, 30), np.uint8)
GREY = white(numbered(4)) // 2
SOFT = cv2.resize(white(numbered(9)), (30, 24), interpolation=cv2.INTER_CUBIC)
SMOOTH = cv2.GaussianBlur(SOFT, (0, 0), 0.7)
WRONG = {
    "image without a mask": (remove("masks/a01.png"), "images/a01.png has no mask"),
    "mask without an image": (remove("images/a01.png"), "a01.png is a mask without"),
    "unreadable image": (cut("images/a01.png"), "images/a01.png.*cannot be read|trunc"),
    "unreadable mask": (cut("masks/a01.png"), "masks/a01.png"),
    "image of one grey": (put("images/a01.png", BLANK + 7), "a01.png is the same ever"),
    "black image": (put("images/a01.png", BLANK), "a01.png is the same everywhere"),
    "other values": (put("masks/a01.png", GREY), "masks/a01.png holds 127; allowed"),
    "resized mask": (put("masks/a04.png", SMOOTH), "masks/a04.png holds .* 0 and 255"),
    "empty": (
        both(put("masks/a01.png", BLANK), put("instances/a01.png", BLANK)),
        "masks/a01.png is empty; draw the beads, or name 'a01' in .*empty.txt",
    ),
    "not empty": (write("empty.txt", "a01\n"), "names 'a01', but .*a01.png is not emp"),
    "empty unknown": (
        write("empty.txt", "b01"),
        "names 'b01', but there is no such im",
    ),
    "in two splits": (twice, r"a01.png \(validation\) is the same image as .*a00.png"),
    "no numbers": (
        remove("instances/a01.png"),
        "a01.png has a mask, but no file in in",
    ),
    "numbers alone": (
        put("instances/b.png", BLANK),
        "instances/b.png is a mask without an image",
    ),
    "numbers outside": (
        put("instances/a01.png", numbered(5)),
        "instances/a01.png numbers 9 pixels that are background",
    ),
    "numbers of another size": (
        put("instances/a01.png", BLANK[:20]),
        "instances/a01.png is 20 x 30, but its mask 24 x 30",
    ),
    "unreadable numbers": (cut("instances/a01.png"), "instances/a01.png"),
    "sizes": (put("masks/a01.png", BLANK[:20]), "a01.png is 24 x 30 .*is 20 x 30"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path, name):
    change, words = WRONG[name]
    root = tree(tmp_path / "in", COUNTS)
    change(root)
    with pytest.raises(DataError, match=words):
        prepare(root)
    assert not list((tmp_path / "out/microbeads").iterdir())


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    root = tree(tmp_path / "in", COUNTS)
    for change in (put("images/a01.png", BLANK), put("instances/a02.png", 0 * BLANK)):
        change(root)
    put("masks/a02.png", BLANK)(root)
    with pytest.raises(DataError, match="2 problem") as caught:
        prepare(root)
    for words in ("a01.png is the same", "a02.png is empty"):
        assert words in str(caught.value)


def test_masks_that_were_resized_are_said_to_be_so(tmp_path):
    root = tree(tmp_path / "in", COUNTS, instances=False)
    soft = cv2.resize(white(numbered(9, size=(48, 60))), (30, 24))
    assert len(np.unique(soft)) > 3
    put("masks/a00.png", soft)(root)
    with pytest.raises(DataError, match="were resized or smoothed. Threshold them"):
        prepare(root)


def test_empty_images_that_are_named_and_classes_that_are_none(tmp_path, caplog):
    root = tree(tmp_path / "in", [*COUNTS, 0, 0, 0])
    write("empty.txt", "a09\na10\n\na11\n")(root)
    card, examples = prepare(root)
    assert {examples[k]["split"] for k in ("a09", "a10", "a11")} == set(SPLITS)
    assert examples["a10"]["label"] == 0 and not examples["a10"]["instances"].any()
    assert card["extra"]["objects_an_image_min"] == 0
    caplog.clear()
    put("instances/a03.png", numbered(5))(root)  # the mask shows seven
    prepare(root)
    line = next(m for m in caplog.messages if "instances/" in m)
    assert "18 foreground pixels of 1 masks have no number" in line
    classes = folder(tmp_path / "classes/in", {k: BLANK for k in "abc"})
    for k, name in enumerate("abc"):
        put(f"masks/{name}.png", numbered(1 + k) % 3)(classes)
    write("classes.txt", "rest\nsmall\nlarge")(classes)
    with pytest.raises(DataError, match="masks hold classes .*0 and 255, or number"):
        prepare(classes)


def test_few_images_of_a_density_are_said(tmp_path, caplog):
    prepare(tree(tmp_path / "in", [2, 3, 4, 3, 16]), pixel_size_um=1.0)
    (line,) = caplog.messages
    assert line.startswith("stratified by objects an image: 15-29 (1 image), which ca")


@pytest.mark.parametrize(
    "options,words",
    [
        ({"mask_format": "class_ids"}, "mask_format 'class_ids' is unknown"),
        ({"stratify": "count"}, "stratify 'count' is unknown"),
        ({"pixel_size_um": -1.0}, "pixel_size_um is -1.0; give the side of a pixel in"),
        ({"pixel_size_um": float("nan")}, "pixel_size_um is nan"),
        ({"object_bins": "0,5"}, "object_bins is"),
        ({"validation": 0.5, "test": 0.5}, "leave 0 for training"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        microbeads.prepare(tmp_path, tmp_path / "out", **options)
