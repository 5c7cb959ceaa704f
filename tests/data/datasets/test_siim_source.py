"""What a SIIM-ACR folder may hold: left out with a reason, or refused by name."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from support import dicom_files

from jaxseg.data import prepared
from jaxseg.data.datasets import siim_acr
from jaxseg.data.files import rle
from jaxseg.data.preparation import worker, workers
from jaxseg.errors import DataError

FILMS = 24


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    dicom_files.siim_tree(root / "dicom", films=FILMS)
    return dicom_files.png_tree(root, films=FILMS)


@pytest.fixture
def tree(raw, tmp_path):
    return shutil.copytree(raw / "dicom", tmp_path / "siim")


@pytest.fixture
def home(raw, tmp_path):
    name = "siim-acr-pneumothorax-data"
    return shutil.copytree(raw / name, tmp_path / "siim" / name)


def _prepare(tmp_path, **options):
    directory = siim_acr.prepare(
        tmp_path / "siim", tmp_path / "out", progress=False, **options
    )
    return prepared.read_card(directory), directory


def _table(tree, change):
    path = tree / "train-rle.csv"
    path.write_text(change(path.read_text()))


def _film(tree, i):
    return next(tree.rglob(f"1.2.3.{i}.dcm"))


def _rewrite(tree, i, stored, **tags):
    tags = {"SOPInstanceUID": f"1.2.3.{i}", "PatientID": f"patient{i}", **tags}
    return dicom_files.write(_film(tree, i), stored, **tags)


def _lines(text, i):
    return [line for line in text.splitlines() if line.startswith(f"1.2.3.{i},")]


def test_images_without_rows_and_rows_without_images(tree, tmp_path):
    _film(tree, 4).unlink()
    _table(tree, lambda text: text.replace(_lines(text, 7)[0] + "\n", ""))
    dicom_files.write(tree / "dicom-images-test/a/hidden.dcm", dicom_files.film(50)[0])
    card, _ = _prepare(tmp_path)
    reasons = {one["file"].split("/")[-1]: one["reason"] for one in card["refused"]}
    assert reasons == {
        "1.2.3.7.dcm": "no row in train-rle.csv: not labelled",
        "1.2.3.4": "in train-rle.csv, but no file",
    }
    assert card["extra"]["test_images_without_labels"] == 1
    assert sum(s["images"] for s in card["splits"].values()) == FILMS - 2


@pytest.mark.parametrize("blank", [True, False])
def test_an_unusable_image_is_left_out_by_name(tree, tmp_path, blank):
    if blank:
        _rewrite(tree, 5, np.full((24, 20), 7, np.uint8))
    else:
        _film(tree, 5).write_bytes(_film(tree, 5).read_bytes()[:-300])
    card, _ = _prepare(tmp_path)
    (refused,) = card["refused"]
    assert refused["file"].endswith("1.2.3.5.dcm")
    assert ("blank" if blank else "1.2.3.5.dcm: ") in refused["reason"]


def test_a_broken_copy_is_refused_as_a_whole(tree, tmp_path):
    for i in (4, 5):
        _film(tree, i).write_bytes(b"")
    with pytest.raises(DataError, match="2 of 24 images .* not a DICOM file"):
        _prepare(tmp_path)
    for i in (4, 5):
        _film(tree, i).unlink()
    with pytest.raises(
        DataError, match="2 of 24 rows of train-rle.csv have no DICOM file"
    ):
        _prepare(tmp_path)
    shutil.rmtree(tree / "dicom-images-train")
    with pytest.raises(DataError, match="24 of 24 rows"):
        _prepare(tmp_path)


TABLES = {
    "1.2.3.0 has a row -1": lambda text: text + "1.2.3.0, -1\n",
    r"1.2.3.4: run lengths end at pixel 530": lambda text: text.replace(
        "1.2.3.4, -1", "1.2.3.4, 500 30"
    ),
    "1.2.3.4: .* 3 numbers": lambda text: text.replace(
        "1.2.3.4, -1", "1.2.3.4, 500 3 4"
    ),
    "1.2.3.4: .* mark no pixel": lambda text: text.replace(
        "1.2.3.4, -1", "1.2.3.4, 5 0"
    ),
    "1.2.3.4: .* whole numbers": lambda text: text.replace("1.2.3.4, -1", "1.2.3.4, "),
    "no column 'EncodedPixels'": lambda text: text.replace("EncodedPixels", "Pixels"),
    "line 3 does not have 2": lambda text: text.replace("\n", "\na,b\na,b,c\n", 1),
    "has no rows": lambda text: text.splitlines()[0],
}


@pytest.mark.parametrize("why", TABLES)
def test_a_table_that_cannot_be_right(tree, tmp_path, why):
    _table(tree, TABLES[why])
    with pytest.raises(DataError, match=why):
        _prepare(tmp_path)


def test_which_table(tree, tmp_path):
    shutil.copy(tree / "train-rle.csv", tree / "train-rle-sample.csv")
    shutil.copy(tree / "train-rle.csv", tree / "stage_2_train.csv")
    with pytest.raises(DataError, match="stage_2_train.csv', 'train-rle.csv'.*--csv"):
        _prepare(tmp_path)
    card, _ = _prepare(tmp_path, csv="stage_2_train.csv")
    assert card["extra"]["options"]["csv"] == "stage_2_train.csv"
    with pytest.raises(DataError, match="found no CSV"):
        siim_acr.prepare(tree / "dicom-images-train", tmp_path / "x")
    with pytest.raises(DataError, match="is no folder"):
        siim_acr.prepare(tree / "nothing", tmp_path / "x")


def test_an_image_id_twice(tree, tmp_path):
    shutil.copy(_film(tree, 3), tree / "1.2.3.3.dcm")
    with pytest.raises(DataError, match="the same image id"):
        _prepare(tmp_path)


def test_equal_pixels_stay_on_one_side(tree, tmp_path):
    for i, j in ((1, 2), (4, 2), (5, 7)):
        _rewrite(tree, i, dicom_files.film(j)[0])
    card, directory = _prepare(tmp_path)
    assert card["extra"]["duplicate_images"] == 3
    lines = (directory / "splits.csv").read_text().splitlines()[1:]
    rows = {line.split(",")[0]: line.split(",")[1:] for line in lines}
    assert rows["1.2.3.1"] == rows["1.2.3.2"] == rows["1.2.3.4"]
    assert rows["1.2.3.5"] == rows["1.2.3.7"] != rows["1.2.3.1"]


def test_one_patient_id_for_all_is_a_placeholder(tree, tmp_path):
    for i in range(FILMS):
        tags = {"PatientID": "anonymous", "StudyInstanceUID": f"1.2.4.{i // 2}"}
        _rewrite(tree, i, dicom_files.film(i)[0], **tags)
    card, _ = _prepare(tmp_path)
    assert "by study" in card["split_rule"]
    assert sum(split["groups"] for split in card["splits"].values()) == FILMS // 2


def test_eight_and_twelve_bits_in_one_set(tree, tmp_path):
    stored = (dicom_files.film(3)[0].astype(np.uint16) * 16)[::-1]
    dark = 4095 - stored
    _rewrite(tree, 3, dark, bits=12, PhotometricInterpretation="MONOCHROME1")
    card, directory = _prepare(tmp_path)
    assert card["dtype"] == "uint16"
    splits = [prepared.open_split(directory, name) for name in card["splits"]]
    found = {s[i]["id"]: s[i]["image"][..., 0] for s in splits for i in range(len(s))}
    assert all(image.dtype == np.uint16 for image in found.values())
    np.testing.assert_array_equal(found["1.2.3.3"], stored)
    np.testing.assert_array_equal(found["1.2.3.4"], dicom_files.film(4)[0])


def _mask(home, i, change):
    (path,) = (home / "png_masks").glob(f"{i}_train_*")
    Image.fromarray(change(np.asarray(Image.open(path)).copy())).save(path)


PAIRS = {
    "has_pneumo is 1, but the mask marks 0": (3, lambda mask: 0 * mask),
    r"has_pneumo is 0, but the mask marks \d": (4, lambda mask: mask | 255),
    "holds the value 7; allowed are 0 and 255": (3, lambda mask: np.minimum(mask, 7)),
    r"is \(12, 20\), but its image \(24, 20\)": (3, lambda mask: mask[::2]),
    "RGB; needed is a greyscale": (3, lambda mask: np.stack([mask] * 3, -1)),
}


@pytest.mark.parametrize("why", PAIRS)
def test_png_masks_that_cannot_be_right(home, tmp_path, why):
    _mask(home, *PAIRS[why])
    with pytest.raises(DataError, match=f"{PAIRS[why][0]}_train_.*{why}"):
        _prepare(tmp_path)


def test_png_files_lost_or_broken(home, tmp_path):
    (home / "png_masks/3_train_1_.png").unlink()
    image = home / "png_images/5_train_0_.png"
    image.write_bytes(image.read_bytes()[:100])
    card, _ = _prepare(tmp_path)
    reasons = {one["file"]: one["reason"] for one in card["refused"]}
    assert reasons.pop("png_masks/3_train_1_.png") == "in the CSV, but no file"
    assert reasons.pop("png_images/3_train_1_.png").startswith("no row")
    assert "truncated" in reasons.pop("png_images/5_train_0_.png") and not reasons


def test_a_name_that_leaves_the_folder(home, tmp_path):
    path = home / "stage_1_train_images.csv"
    path.write_text(path.read_text().replace("4_train_0_.png", "../../secret.png"))
    with pytest.raises(DataError, match="no folder"):
        _prepare(tmp_path)


def test_rows_of_one_image_are_united(tree):
    """The tree must hold overlapping rows, or the union is not under test."""
    lines = _lines((tree / "train-rle.csv").read_text(), 0)
    one, other = (rle.decode(line.split(",")[1], (24, 20)) for line in lines)
    assert np.count_nonzero(one & other) and np.count_nonzero(one != other)


NAMES = {
    "upper case": lambda i: f"1.2.3.{i}.DCM",
    "without suffix": lambda i: f"1.2.3.{i}",
    "of an archive": lambda i: f"1.2.3.{i}.{('dicom', 'IMA', 'dic')[i % 3]}",
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("suffix", ["", ".dcm", ".DCM"])
def test_files_and_ids_with_any_suffix_or_none(tree, tmp_path, kind, suffix):
    for i in range(FILMS):
        film = _film(tree, i)
        film.rename(film.with_name(NAMES[kind](i)))
    (tree / "dicom-images-train/readme").write_text("no film")
    _table(tree, lambda text: re.sub(r"(?m)^(1[.\d]+),", rf"\1{suffix},", text))
    card, _ = _prepare(tmp_path)
    assert card["refused"] == [] and card["extra"]["test_images_without_labels"] == 0
    assert sum(split["images"] for split in card["splits"].values()) == FILMS
    ids = prepared.open_split(tmp_path / "out/siim_acr/1.0.0", "train").ids
    assert set(ids) <= {f"1.2.3.{i}" for i in range(FILMS)}


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda text: text.encode("utf-16"), "UTF-16, or no text"),
        (
            lambda text: text.replace(" EncodedPixels", "ImageId").encode(),
            "no column 'EncodedPixels'|column 'ImageId' twice",
        ),
        (
            lambda text: (
                text.replace("\n", ",-1\n")
                .replace("Pixels,-1", "Pixels,EncodedPixels")
                .encode()
            ),
            "the column 'EncodedPixels' twice",
        ),
    ],
)
def test_a_table_of_another_encoding_or_a_column_twice(tree, tmp_path, change, why):
    path = tree / "train-rle.csv"
    path.write_bytes(change(path.read_text()))
    with pytest.raises(DataError, match=why):
        _prepare(tmp_path)


SAVED = {
    "several frames": {"save_all": True, "append_images": [Image.new("L", (20, 24))]},
    "or is transparent": {"transparency": 7},
    "an orientation tag": {"exif": Image.Exif()},
}
SAVED["an orientation tag"]["exif"][274] = 6


@pytest.mark.parametrize("why", SAVED)
def test_a_png_that_could_be_meant_otherwise_is_left_out(home, tmp_path, why):
    (path,) = (home / "png_images").glob("4_train_*")
    image = Image.open(path)
    image.load()
    image.save(path, **SAVED[why])
    card, _ = _prepare(tmp_path)
    (refused,) = card["refused"]
    assert why in refused["reason"] and refused["file"].endswith(path.name)


def test_a_film_that_ends_its_decoder_is_left_out_by_name(tree, tmp_path, monkeypatch):
    small = worker.Limits(seconds=60, memory=96 * 2**20)
    monkeypatch.setattr(workers, "Limits", lambda: small)
    _rewrite(tree, 5, np.zeros((8000, 8000), np.uint8))
    card, _ = _prepare(tmp_path)
    (refused,) = card["refused"]
    assert refused["file"].endswith("1.2.3.5.dcm")
    assert "memory" in refused["reason"]
