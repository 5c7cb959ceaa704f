"""Run lengths: by hand, there and back, every refusal, and the real SIIM-ACR table."""

import collections
import csv
import functools
import gzip
import importlib.metadata

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxseg.data.files import rle
from jaxseg.errors import DataError

QUIET = hypothesis.settings(
    max_examples=200, deadline=None, derandomize=True, database=None
)
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


def _rows(mask):
    return ["".join(str(int(v)) for v in row) for row in mask]


def test_offsets_count_from_the_last_run_down_the_columns():
    mask = rle.decode("1 3 4 2", (4, 4))
    assert _rows(mask) == ["0010", "1010", "1000", "1000"]
    union = mask | rle.decode("8 3", (4, 4))
    assert _rows(union) == ["0010", "1010", "1010", "1000"]


def test_height_comes_before_width():
    assert _rows(rle.decode("2 1", (2, 3))) == ["010", "000"]
    assert rle.encode(np.array([[0, 1, 0], [0, 0, 0]])) == "2 1"


def test_first_offset_is_zero_based_and_runs_may_touch():
    assert _rows(rle.decode("0 1", (2, 2))) == ["10", "00"]
    assert _rows(rle.decode("0 1 0 1", (2, 2))) == ["10", "10"]
    assert rle.decode("0 4", (2, 2)).all()


@pytest.mark.parametrize("text", ["-1", " -1", "-1 \n"])
def test_minus_one_is_empty(text):
    assert not rle.decode(text, (3, 2)).any()
    assert rle.encode(np.zeros((3, 2), bool)) == "-1"


@QUIET
@hypothesis.given(MASKS)
def test_decode_undoes_encode(mask):
    np.testing.assert_array_equal(rle.decode(rle.encode(mask), mask.shape), mask)


@pytest.mark.parametrize(
    "text, why",
    [
        ("1 3 4", "3 numbers"),
        ("1 -3", "at least 0"),
        ("-1 3", "at least 0"),
        ("-1 -1", "at least 0"),
        ("", "at least 0"),
        ("1 2.5", "at least 0"),
        ("1 two", "at least 0"),
        ("1_0 2", "at least 0"),
        ("15 2", "end at pixel 17"),
        ("17 0", "end at pixel 17"),
        ("1 999999999999999999", "end at pixel"),
        ("1 " + 30 * "9", "at least 0"),
    ],
)
def test_refuses(text, why):
    with pytest.raises(DataError, match=why):
        rle.decode(text, (4, 4))


@QUIET
@hypothesis.given(st.text("0123456789- .e\n٣", max_size=20))
def test_any_text_is_a_mask_or_a_data_error(text):
    try:
        assert rle.decode(text, (5, 3)).shape == (5, 3)
    except DataError:
        pass


def test_encode_wants_a_plane():
    with pytest.raises(DataError, match=r"\(2, 2, 1\)"):
        rle.encode(np.zeros((2, 2, 1)))


def test_the_real_table_of_the_challenge():
    """Stage 2 of SIIM-ACR, as torchxrayvision 1.5.7 ships it."""
    name = "siim-pneumothorax-train-rle.csv.gz"
    files = importlib.metadata.files("torchxrayvision")
    (path,) = [file.locate() for file in files if file.name == name]
    with gzip.open(path, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["ImageId", " EncodedPixels"] and len(rows) == 12_954
    runs = collections.defaultdict(list)
    for image, text in rows:
        runs[image.strip()].append(text)
    areas = []
    for texts in runs.values():
        masks = [rle.decode(text, (1024, 1024)) for text in texts]
        areas.append(np.count_nonzero(functools.reduce(np.logical_or, masks)))
    several = [len(texts) for texts in runs.values() if len(texts) > 1]
    assert len(runs) == 12_047
    assert np.count_nonzero(areas) == 2_669
    assert (len(several), min(several), max(several)) == (624, 2, 10)
    share = np.sum(areas) / np.count_nonzero(areas) / 1024**2
    assert round(100 * share, 2) == 1.37


def test_starts_that_count_from_one():
    # column-major: pixels 1 and 2 are the first column of two rows, 5 begins the third
    mask = rle.decode_from_one("2 1 5 2", (2, 3))
    np.testing.assert_array_equal(mask, [[0, 0, 1], [1, 0, 1]])
    assert rle.decode_from_one("1 6", (2, 3)).all()
    for text, said in {
        "0 1": "begins at 0",
        "3 2 4 1": "begins at 4, but the one before ends at 4",
        "3 0": "a run of 0 pixels",
        "1 2 5": "pairs",
        "5 3": "run lengths end at pixel 7",
        "": "whole numbers",
        "-1": "whole numbers",
    }.items():
        with pytest.raises(DataError, match=said):
            rle.decode_from_one(text, (2, 3))
