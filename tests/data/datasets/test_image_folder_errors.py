"""What is wrong with a folder is said before training: the file, and what to do."""

import cv2
import numpy as np
import pytest
import tifffile
from test_image_folder import blobs, folder

from jaxseg.data.datasets import image_folder
from jaxseg.data.datasets._folder import check, label_format
from jaxseg.errors import DataError


def examined(source, mask_format="auto", **options):
    options = {"allow_unlabelled": False, "max_pixels": 10_000} | options
    return check.examine(source, mask_format=mask_format, progress=False, **options)


def rename(old, new):
    return lambda root: (root / old).rename(root / new)


def write(name, text):
    return lambda root: (root / name).write_text(text)


def copy(old, new):
    return lambda root: (root / new).write_bytes((root / old).read_bytes())


def cut(name, size):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:size])


def put(name, array):
    return lambda root: cv2.imwrite(str(root / name), array)


def table(*rows, head="stem,split,group"):
    known = ["a00,train,", "a01,train,", "a02,validation,", "a03,test,"]
    stems = [row.split(",")[0] for row in rows]
    kept = [row for row in known if row.split(",")[0] not in stems]
    return write("splits.csv", "\n".join([head, *kept, *rows]))


BLANK = np.zeros((12, 9), np.uint8)
CASES = {
    "no image": (
        lambda r: (r / "images/a01.png").unlink(),
        "masks/a01.png is a mask wi",
    ),
    "no mask": (
        lambda r: (r / "masks/a01.png").unlink(),
        "images/a01.png has no mask.*un",
    ),
    "other name": (
        rename("masks/a01.png", "masks/a01_mask.png"),
        "a01_mask.*mean 'a01'",
    ),
    "sizes": (put("masks/a00.png", BLANK[:5]), "a00.png is 12 x 9 .*a00.png is 5 x 9"),
    "turned": (
        put("masks/a00.png", BLANK.T),
        "a00.png is 9 x 12; one of them is turned",
    ),
    "zero bytes": (cut("images/a02.png", 0), "images/a02.png is empty"),
    "truncated": (cut("masks/a02.png", 60), "masks/a02.png cannot be read"),
    "same stem": (
        copy("images/a01.png", "images/a01.jpg"),
        "a01.png and a01.jpg|same st",
    ),
    "strange file": (
        copy("images/a01.png", "images/b.gif"),
        "b.gif: .gif cannot be read",
    ),
    "Masks": (rename("masks", "Masks"), "needs the folders.*rename Masks/ to masks/"),
    "img": (rename("images", "img"), "rename img/ to images/"),
    "both layouts": (lambda r: (r / "train").mkdir(), "images/ and also"),
    "value": (put("masks/a00.png", BLANK + 7), "masks hold 0, 7, 255, which could be"),
    "16 bits": (
        put("images/a00.png", BLANK.astype("u2")),
        "uint16.*a00.*uint8.*one type",
    ),
    "channels": (
        put("images/a01.png", np.zeros((13, 9, 4), "u1")),
        "partly transparent",
    ),
    "bomb": (
        put("images/a01.png", np.zeros((101, 100), "u1")),
        "101 x 100 .*max_pixels",
    ),
    "colours": (
        put("masks/a01.png", np.eye(3, 9)[..., None] * [9, 1, 2]),
        "3 channels",
    ),
    "stem": (table("a00x,test,"), "names 'a00x', but there is no such .* 'a00'"),
    "suffix": (table("a00.png,test,"), "names 'a00.png'.*mean 'a00'"),
    "not named": (
        write("splits.csv", "stem,split\na00,test"),
        "not name the image 'a01'",
    ),
    "split": (
        table("a00,val,"),
        "line 5: 'val' is no split; did you mean 'validation'",
    ),
    "twice": (table("a00,train,", "a00,test,"), "'a00' is named twice"),
    "group": (table("a00,train,p", "a03,test,p"), "group 'p' is in train and in test"),
    "no test": (table("a03,train,"), "no labelled image in test"),
    "some splits": (
        table("a03,,"),
        "'a03' has no split, and .*: give every image a split, or none",
    ),
    "columns": (table(head="name,split"), r"columns are \['name', 'split'\], not stem"),
    "has mask": (table("a01,unlabelled,"), "'a01' is unlabelled, but has a mask"),
    "one class": (write("classes.txt", "cat"), "2 to 255 different names"),
    "gap": (write("classes.txt", "cat\n\ndog"), "2 to 255 different names"),
    "background last": (
        write("classes.txt", "cat\nbackground"),
        "Put the background first, with the label 0 in the masks.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_error_names_the_file(tmp_path, name):
    source = folder(tmp_path / "in", blobs(4))
    CASES[name][0](source)
    with pytest.raises(DataError, match="(?s)" + CASES[name][1]) as caught:
        image_folder.prepare(
            source, tmp_path / "data", progress=False, max_pixels=10_000
        )
    assert str(tmp_path) in str(caught.value)
    assert not list((tmp_path / "data" / "image_folder").iterdir())


def test_all_problems_at_once(tmp_path):
    source = folder(tmp_path / "in", blobs(30))
    for k in range(25):
        (source / "masks" / f"a{k:02d}.png").unlink()
    cut("images/a29.png", 50)(source)
    with pytest.raises(DataError) as caught:
        examined(source)
    text = str(caught.value)
    assert "26 problem(s)" in text and text.count("has no mask") == 20
    assert text.endswith("and 6 more")


def test_channels_that_do_not_go_together(tmp_path):
    source = folder(tmp_path, blobs(3))
    image = np.zeros((12, 9, 2), np.uint8)
    tifffile.imwrite(source / "images/a03.tif", image, metadata={"axes": "YXC"})
    put("masks/a03.png", BLANK)(source)
    with pytest.raises(DataError, match="channels 1 .*and 2 .*a03.tif.; only 1 and 3"):
        examined(source)


def test_folders_by_split(tmp_path):
    for name in ("train", "val", "test"):
        folder(tmp_path / name, blobs(3))
    with pytest.raises(DataError, match="rename val/ to validation/"):
        examined(tmp_path)
    (tmp_path / "val").rename(tmp_path / "validation")
    assert len(examined(tmp_path).items) == 9
    (tmp_path / "test/masks/a01.png").unlink()
    with pytest.raises(DataError, match="a01.png has no mask"):
        examined(tmp_path, allow_unlabelled=True)  # in train only
    (tmp_path / "test/masks").rename(tmp_path / "test/mask")
    with pytest.raises(DataError, match="test needs.*rename mask/ to masks/"):
        examined(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        examined(tmp_path / "x")
    with pytest.raises(DataError, match="needs the folders images/ and masks/"):
        examined(tmp_path)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="images holds no image"):
        examined(tmp_path)
    with pytest.raises(DataError, match="3 groups|cannot be dealt out"):
        image_folder.prepare(folder(tmp_path, blobs(2)), tmp_path.parent / "data")


def ids(count, size=(20, 30)):
    """A mask with `count` numbered objects."""
    mask = np.zeros(size, np.uint16)
    mask.ravel()[1 : 2 * count : 2] = np.arange(1, count + 1)
    return mask


def ramp(shape=(20, 30)):
    """Black and white with a smooth edge."""
    mask = np.zeros(shape, np.uint8)
    mask[:, 20:], mask[:, 18], mask[:, 19] = 255, 90, 180
    return mask


BINARY, CLASSES = blobs(2)["a01"], np.array([[0, 1, 2, 1]], np.uint8)
AUTO = [
    ([BINARY], None, "binary"),
    ([BINARY // 255, BLANK], None, "binary"),
    ([BINARY // 255, BINARY], None, "some masks hold 1 and others 255"),
    ([BLANK, BLANK], None, "binary"),
    ([np.array([[0, 1, 255]], np.uint8)], None, "class_ids"),
    ([ids(40), ids(3)], None, "instances"),
    ([ids(280), ids(3)], None, "instances"),
    ([ids(40), ids(40)], None, "could be classes"),
    ([ids(40)], "ab", "instances"),
    ([CLASSES], "abc", "class_ids"),
    ([CLASSES, CLASSES + 253], "abc", None),
    ([BINARY], "ab", "binary"),
    ([BINARY // 255], "ab", "class_ids"),
    ([CLASSES], None, "classes.txt, or set mask_format"),
    ([ids(9), ids(3)], None, "could be classes or numbered objects"),
    ([ids(40) * 50], None, "could be classes"),
    ([ramp()], None, "resized or smoothed"),
    ([CLASSES + 1], "abc", "a0.png holds 3; allowed in a mask of class_ids are 0 to 2"),
    ([BINARY], "abc", "hold 0, 255 only, but classes.txt names 3"),
]


@pytest.mark.parametrize("case", range(len(AUTO)))
def test_auto_decides_once_or_asks(tmp_path, case):
    masks, classes, expected = AUTO[case]
    named = {f"a{k}": mask for k, mask in enumerate(masks)}
    source = folder(tmp_path, named, classes=classes)
    if expected in label_format.FORMATS:
        plan = examined(source)
        assert plan.mask_format == expected and plan.why
    else:
        with pytest.raises(DataError, match=expected or "a1.png holds 253, 254; allow"):
            examined(source)


def test_set_formats_are_checked(tmp_path):
    source = folder(tmp_path, {"a": CLASSES, "b": np.array([[0, 1, 255]], np.uint8)})
    assert examined(source, "instances").classes == ["background", "foreground"]
    names = examined(source, "class_ids").classes
    assert names == ["background", "class_1", "class_2"]
    with pytest.raises(
        DataError, match="(?s)a.png holds 2; .*b.png holds 1; .*0 and 255"
    ):
        examined(source, "binary")
    (source / "classes.txt").write_text("a\nb\nc")
    with pytest.raises(
        DataError, match="classes.txt names 3 classes.*instances have 2"
    ):
        examined(source, "instances")
    folder(tmp_path / "gap", {"a": CLASSES * 2})
    with pytest.raises(DataError, match="0, 2, 4, which does not count up from 0"):
        examined(tmp_path / "gap", "class_ids")
