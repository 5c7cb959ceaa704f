"""Phantom films look as promised, and their tree is the raw SIIM-ACR tree."""

import collections
import csv

import numpy as np
import pydicom
import pytest

from jaxseg.data.files import rle
from jaxseg.data.phantoms import _chest_film as films
from jaxseg.data.phantoms import chest, siim_tree
from jaxseg.errors import ConfigError, DataError

SIZE, IMAGES, SEED = 128, 16, 3


def _film(index, *, positive, size=SIZE, **kwargs):
    rng = np.random.default_rng((SEED, index))
    return chest.radiograph(rng, size=size, positive=positive, **kwargs)


@pytest.fixture(scope="module")
def sample():
    pairs = [_film(i, positive=i % 4 == 0) for i in range(96)]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw") / "new" / "siim"
    siim_tree.write(root, images=IMAGES, size=SIZE, seed=SEED)
    return root


def _rows(tree):
    with open(tree / siim_tree.TABLE, newline="") as file:
        return list(csv.reader(file))


def _files(tree):
    return sorted((tree / siim_tree.IMAGES).rglob("*.dcm"))


def test_a_film_is_a_function_of_its_rng():
    image, mask = _film(5, positive=True)
    again, mask_again = _film(5, positive=True)
    assert image.dtype == np.uint8 and mask.dtype == bool
    assert image.shape == mask.shape == (SIZE, SIZE)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(mask, mask_again)
    assert (image != _film(6, positive=True)[0]).mean() > 0.5


def test_areas_are_those_of_the_real_masks(sample):
    share = sample[1].mean((1, 2))
    assert (share[np.arange(96) % 4 != 0] == 0).all()
    positive = share[::4]
    assert positive.min() >= 0.001 and positive.max() <= 0.04
    assert 0.006 < positive.mean() < 0.022  # the real mean is 0.0137
    assert positive.max() > 4 * positive.min()


@pytest.mark.parametrize("size", [64, 200])
def test_any_size_is_drawn(size):
    for index in range(4):
        image, mask = _film(index, positive=True, size=size)
        assert image.shape == (size, size) and 0.001 <= mask.mean() <= 0.04
    assert np.ptp(image) > 100


def test_the_air_lies_in_one_lung_and_is_dark_and_bare():
    """Against the same film without it: darker beyond the line, nothing elsewhere."""
    darker, bare = [], []
    for index in range(12):
        rng = np.random.default_rng((SEED, index))
        patient = chest.body(rng)
        film = films.frame(rng, SIZE)
        lungs = [chest.anatomy.cavity(patient, side) for side in (0, 1)]
        layers = chest.expanded(rng, film, patient, lungs)
        mask, line = chest._pneumothorax(rng, film, lungs, layers.air > 0.3)
        inside = [film.fill(lung.outline) > 0.25 for lung in lungs]
        assert sorted((mask & ~part).sum() == 0 for part in inside) == [False, True]
        assert layers.air[mask].min() > 0.3  # not behind heart or wall
        empty = np.zeros_like(mask)
        state = rng.bit_generator.state
        with_air = chest._compose(rng, film, layers, mask, line)
        rng.bit_generator.state = state
        without = chest._compose(rng, film, layers, empty, 0.0)
        far = films.cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) == 0
        np.testing.assert_allclose(with_air[far], without[far], atol=2e-3)
        core = mask & (line < 0.01)
        if core.sum() < 40:  # nothing but line
            continue
        darker.append((without - with_air)[core].mean())
        rng.bit_generator.state = state
        plain = layers._replace(vessels=0.0 * layers.vessels)
        vessels = np.abs(with_air - chest._compose(rng, film, plain, mask, line))
        bare.append(vessels[core].mean() / vessels[(layers.air > 0.3) & far].mean())
    assert len(darker) > 4 and min(darker) > 0.02
    assert max(bare) < 0.1


def test_no_threshold_finds_it(sample):
    image, mask = sample
    inside = np.bincount(image[mask], minlength=256).cumsum()
    everywhere = np.bincount(image.ravel(), minlength=256).cumsum()
    below = 2 * inside / (everywhere + mask.sum())
    above = 2 * (mask.sum() - inside) / (image.size - everywhere + mask.sum())
    assert max(below.max(), above.max()) < 0.08


def test_twelve_bits_show_the_same_film():
    fine, mask = _film(1, positive=True, bits=12)
    coarse, same = _film(1, positive=True)
    assert fine.dtype == np.uint16 and fine.max() <= 4095 and fine.max() > 2000
    np.testing.assert_array_equal(mask, same)
    np.testing.assert_allclose(fine / 4095, coarse / 255, atol=0.003)


@pytest.mark.parametrize("kwargs", [{"size": 32}, {"bits": 16}])
def test_what_cannot_be_drawn_is_refused(kwargs):
    with pytest.raises(ConfigError, match="size must be at least 64"):
        _film(0, positive=False, **kwargs)


def test_the_plan_has_every_kind_in_eight_films():
    for block in range(6):
        part = [siim_tree.plan(8 * block + i, seed=SEED) for i in range(8)]
        assert sum(film.positive for film in part) == 2
        kinds = collections.Counter(film.encoding for film in part)
        assert kinds == {"jpeg": 5, "plain": 1, "rle": 1, "dark12": 1}
        assert 6 <= len({film.patient for film in part}) <= 7
        assert {film.patient // 8 for film in part} == {block}


def test_the_tree_reads_back_as_it_was_drawn(tree):
    parts = collections.defaultdict(list)
    for image_id, text in _rows(tree)[1:]:
        parts[image_id].append(text)
    files = {path.stem: pydicom.dcmread(path) for path in _files(tree)}
    assert set(files) == set(parts) and len(files) == IMAGES
    for index in range(IMAGES):
        film = siim_tree.plan(index, seed=SEED)
        dataset = files[siim_tree._uid(SEED, "image", index)]
        patient = chest.body(_patient_rng(film.patient))
        bits = 12 if film.encoding == "dark12" else 8
        kwargs = {"patient": patient, "bits": bits}
        image, mask = _film(index, positive=film.positive, **kwargs)
        texts = parts[dataset.SOPInstanceUID]
        union = np.logical_or.reduce([rle.decode(t, image.shape) for t in texts])
        np.testing.assert_array_equal(union, mask)
        pixels = dataset.pixel_array.astype(int)
        if film.encoding == "dark12":
            assert dataset.PhotometricInterpretation == "MONOCHROME1"
            pixels = 4095 - pixels
        atol = 16 if film.encoding == "jpeg" else 0
        np.testing.assert_allclose(pixels, image.astype(int), atol=atol)
        assert dataset.PatientSex == patient["sex"] and dataset.PatientAge[-1] == "Y"


def _patient_rng(patient):
    rng = np.random.default_rng((SEED, patient, siim_tree._PATIENT))
    rng.bytes(16)  # its name
    return rng


def test_the_tree_has_the_traps_of_the_real_one(tree):
    header, *rows = _rows(tree)
    assert header == ["ImageId", " EncodedPixels"]
    assert {" -1"} == {text for _, text in rows if "-1" in text}
    assert all(text.startswith(" ") for _, text in rows)
    datasets = [pydicom.dcmread(path) for path in _files(tree)]
    syntaxes = {d.file_meta.TransferSyntaxUID.name for d in datasets}
    assert len(syntaxes) == 3 and any("JPEG" in name for name in syntaxes)
    assert {d.BitsStored for d in datasets} == {8, 12}
    assert len({d.PatientID for d in datasets}) < IMAGES
    for path, dataset in zip(_files(tree), datasets, strict=True):
        study, series = path.parts[-3:-1]
        assert (study, series) == (dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
        jpeg = dataset.file_meta.TransferSyntaxUID == pydicom.uid.JPEGBaseline8Bit
        assert (dataset.get("LossyImageCompression") == "01") == jpeg
        assert dataset.ViewPosition in ("PA", "AP") and dataset.Modality == "CR"


def test_some_masks_come_in_overlapping_rows():
    mask = np.zeros((40, 40), bool)
    mask[5:35, 10:20] = True
    counts = collections.Counter()
    for seed in range(40):
        parts = siim_tree._parts(np.random.default_rng(seed), mask)
        counts[len(parts)] += 1
        np.testing.assert_array_equal(np.logical_or.reduce(parts), mask)
        assert (np.sum(parts, axis=0).max() > 1) == (len(parts) > 1)
    assert set(counts) == {1, 2, 3} and counts[1] > 15


def test_the_same_seed_writes_the_same_bytes(tree, tmp_path):
    siim_tree.write(tmp_path / "again", images=IMAGES, size=SIZE, seed=SEED)
    for path in [*_files(tree), tree / siim_tree.TABLE]:
        copy = tmp_path / "again" / path.relative_to(tree)
        assert copy.read_bytes() == path.read_bytes()
    siim_tree.write(tmp_path / "other", images=1, size=SIZE, seed=SEED + 1)
    assert _files(tmp_path / "other")[0].stem not in {p.stem for p in _files(tree)}


def test_an_existing_folder_is_refused(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists already"):
        siim_tree.write(tmp_path / "taken", images=1, size=SIZE, seed=0)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(siim_tree, "_parts", fail)
    with pytest.raises(OSError, match="disk full"):
        siim_tree.write(tmp_path / "tree", images=2, size=SIZE, seed=0)
    with pytest.raises(ConfigError, match="at least one image"):
        siim_tree.write(tmp_path / "tree", images=0, size=SIZE, seed=0)
    assert not list(tmp_path.iterdir())
