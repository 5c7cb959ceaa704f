"""A config's data: drawn, prepared from raw files, or found; and what cannot be."""

import numpy as np
import pytest

from jaxseg import lookup
from jaxseg.data import prepared
from jaxseg.data.datasets import image_folder, phc, siim_acr
from jaxseg.data.phantoms import cells, phc_tree, siim_tree, tissue_tree
from jaxseg.data.preparation import obtain
from jaxseg.errors import ConfigError, DataError

DRAWN = [
    name
    for name in lookup.names("data/datasets")
    if hasattr(lookup.find("data/datasets", name), "write_demo")
]


# so that all that is drawn is prepared
WHOLE = {"covid_qu_ex": {"subset": "both"}}


ANY = {"name": "siim_acr", "options": {}, "progress": False}


def _dataset(name, cache, *, images=0, size=0, directory="", raw=False, **options):
    return obtain.dataset(
        name,
        directory=str(directory),
        raw=raw,
        demo={"images": images, "size": size},
        options=WHOLE.get(name, {}) | options,
        cache=cache,
        progress=False,
    )


def test_each_kind_of_phantoms_is_drawn():
    assert {"siim_acr", "phc", "image_folder", "microbeads"} <= set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_demonstration_data_follows_the_name_and_is_drawn_once(name, tmp_path):
    found = _dataset(name, tmp_path, images=24, size=64)
    splits = [prepared.open_split(found, s) for s in ("train", "validation", "test")]
    assert sum(map(len, splits)) == 24 and splits[0].card["name"] == name
    assert all(split.positive.any() for split in splits)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    assert _dataset(name, tmp_path, images=24, size=64) == found
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    assert _dataset(name, tmp_path, images=25, size=64) != found


def test_options_of_the_drawing(tmp_path):
    demo = {"images": 24, "size": 64, "options": {"absent": True}}
    options = {"directory": "", "raw": True, "cache": tmp_path, "progress": False}
    options |= {"demo": demo, "options": {"absent": "infection"}}
    card = prepared.read_card(obtain.dataset("covid_qu_ex", **options))
    assert card["absent"] == ["infection"]
    for wrong in ({"absnt": True}, {"images": 48}):
        words = f"config.data.demo.options holds {[*wrong][0]}, but covid_qu_ex takes"
        with pytest.raises(ConfigError, match=words):
            options["demo"] = demo | {"options": wrong}
            obtain.dataset("covid_qu_ex", **options)


def test_phantom_films_keep_their_place_and_bytes(tmp_path):
    """A cache from before the other data sets could draw is still the right one."""
    found = _dataset("siim_acr", tmp_path, images=16, size=64)
    folder = tmp_path / "demo" / "siim_acr-c3b693146f67"
    assert found == folder / "siim_acr" / "1.0.0"
    siim_tree.write(tmp_path / "again", images=16, size=64, seed=0)
    for path in (tmp_path / "again").rglob("*.*"):
        same = folder / "raw" / path.relative_to(tmp_path / "again")
        assert path.is_dir() or path.read_bytes() == same.read_bytes()


def test_the_cells_of_the_demonstration(tmp_path):
    found = _dataset("phc", tmp_path, images=8, size=48)
    test = prepared.open_split(found, "test")
    assert test.ids == ["test/00003", "test/00007"]
    for k, index in enumerate((3, 7)):
        mask = cells.draw(index, size=48, seed=0)[1]
        np.testing.assert_array_equal(test[k]["mask"], mask)


def test_other_options_use_the_same_drawings(tmp_path):
    plain = _dataset("phc", tmp_path, images=16, size=40)
    wide = _dataset("phc", tmp_path, images=16, size=40, validation=0.5)
    sizes = [len(prepared.open_split(d, "validation")) for d in (plain, wide)]
    assert sizes == [2, 6] and len(list(tmp_path.rglob("raw"))) == 1


def test_raw_folders_have_a_place_each(tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 1)):
        phc_tree.write(tmp_path / name, images=8, size=40, seed=seed)
        options = {"directory": tmp_path / name, "raw": True}
        found.append(_dataset("phc", tmp_path / "cache", **options))
        again = _dataset("phc", tmp_path / "cache", **options, seed=3)
        assert again != found[-1]
        assert _dataset("phc", tmp_path / "cache", **options) == found[-1]
    assert found[0] != found[1]


def test_a_prepared_one_is_found(tmp_path):
    phc_tree.write(tmp_path / "raw", images=8, size=40)
    made = phc.prepare(tmp_path / "raw", tmp_path / "data", progress=False)
    for raw in (False, True):  # which is so is not asked for
        assert _dataset("phc", tmp_path, directory=tmp_path / "data", raw=raw) == made
    assert obtain.any_data(tmp_path / "data", **ANY | {"cache": tmp_path}) == made
    assert obtain.any_data(made, **ANY | {"cache": tmp_path}) == made
    with pytest.raises(DataError, match="holds no prepared siim_acr; make it with"):
        _dataset("siim_acr", tmp_path, directory=tmp_path / "data")


def test_a_folder_of_a_user_is_recognised_once_it_is_prepared(tmp_path):
    raw = tmp_path / "raw"
    tissue_tree.write(raw, images=24, size=48)
    made = image_folder.prepare(raw, tmp_path / "data", progress=False)
    assert made.name.startswith("1.0.0-")
    found = _dataset("image_folder", tmp_path, directory=tmp_path / "data", raw=True)
    assert found == made and obtain.is_image_folder(raw)
    with pytest.raises(DataError, match="is no folder"):
        obtain.any_data(tmp_path / "no", **ANY | {"cache": tmp_path})


def test_what_cannot_be_had_is_said(tmp_path, monkeypatch):
    monkeypatch.delattr(image_folder, "write_demo")
    with pytest.raises(ConfigError, match="draws no .*'phc', 'sccdnet', 'siim"):
        _dataset("image_folder", tmp_path, images=4, size=40)
    with pytest.raises(ConfigError, match="config.data.dir is empty"):
        _dataset("phc", tmp_path)
    with pytest.raises(ConfigError, match="holds mask_format, but phc takes .*label_v"):
        _dataset("phc", tmp_path, images=4, size=40, mask_format="auto")

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(siim_acr, "write_demo", full)
    with pytest.raises(OSError, match="disk full"):
        _dataset("siim_acr", tmp_path, images=8, size=64)
    assert not list(tmp_path.iterdir())
