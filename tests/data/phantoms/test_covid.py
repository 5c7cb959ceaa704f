"""Phantom films of pneumonia look as promised, in the tree of COVID-QU-Ex."""

import collections

import numpy as np
import pytest
from PIL import Image
from sklearn import linear_model, model_selection

from jaxseg.data.phantoms import _chest_disease, covid, covid_tree
from jaxseg.errors import ConfigError, DataError

SIZE, SEED = 64, 3


def _draw(index, kind, **changes):
    options = {"size": SIZE, "seed": SEED, "scanner": index % 4} | changes
    return covid.draw(index, kind=kind, **options)


@pytest.fixture(scope="module")
def sample():
    return {kind: [_draw(i, kind) for i in range(40)] for kind in covid.KINDS}


def test_a_film_is_a_function_of_its_number_and_seed(sample):
    for again, first in zip(_draw(5, "covid19"), sample["covid19"][5], strict=True):
        np.testing.assert_array_equal(again, first)
        assert again.shape == (SIZE, SIZE)
    image = sample["covid19"][5].image
    assert image.dtype == np.uint8
    assert (_draw(5, "covid19", seed=4).image != image).mean() > 0.5
    assert (_draw(5, "covid19", scanner=2).image != image).mean() > 0.5


def test_only_covid_shows_infection_and_only_others_fill_a_lobe(sample):
    for kind, films in sample.items():
        for film in films:
            assert film.infection.any() == (kind == "covid19")
            assert film.consolidation.any() == (kind == "non_covid")
            assert not (film.infection & ~film.lung).any()
            assert not (film.consolidation & ~film.lung).any()
            assert 0.12 < film.lung.mean() < 0.45
    assert not _draw(0, "covid19", infected=False).infection.any()


def test_ground_glass_is_in_both_lungs_at_the_wall_and_a_lobe_in_one(sample):
    shares = np.array([film.infection.mean() for film in sample["covid19"]])
    low, high = _chest_disease.AREAS
    assert low * 0.9 < shares.min() < 0.025 and 0.08 < shares.max() < high * 1.02
    both, depths = [], []
    for film in sample["covid19"]:
        columns = np.flatnonzero(film.lung.any(0))
        middle = int(columns.mean())
        left, right = film.infection[:, :middle].sum(), film.infection[:, middle:].sum()
        both.append(min(left, right) > 0)
        # 0 at the spine, 1 at the wall
        away = np.abs(np.arange(SIZE) - middle) / (np.ptp(columns) / 2)
        depths.append((film.infection.sum(0) * away).sum() / film.infection.sum())
        depths[-1] -= (film.lung.sum(0) * away).sum() / film.lung.sum()
    assert np.mean(both) > 0.85 and np.mean(depths) > 0.02
    sides = [
        film.consolidation[:, : SIZE // 2].mean() / film.consolidation.mean() / 2
        for film in sample["non_covid"]
    ]
    assert np.mean([min(s, 1 - s) < 0.1 for s in sides]) > 0.9
    assert 0.3 < np.mean(sides) < 0.7


def test_disease_is_brighter_than_the_rest_of_its_lung_and_a_lobe_brighter(sample):
    gain = {}
    for kind, key in (("covid19", "infection"), ("non_covid", "consolidation")):
        gain[kind] = [
            film.image[getattr(film, key)].mean()
            - film.image[film.lung & ~getattr(film, key)].mean()
            for film in sample[kind]
        ]
    assert np.mean(np.array(gain["covid19"]) > 0) > 0.9
    assert np.mean(gain["non_covid"]) > np.mean(gain["covid19"]) + 5
    # no threshold tells them from each other
    assert np.max(gain["covid19"]) > np.median(gain["non_covid"])


def test_a_small_patch_is_half_a_percent_of_the_pixels():
    films = [_draw(i, "covid19", small=True, size=128) for i in range(20)]
    shares = np.array([film.infection.mean() for film in films])
    low, high = _chest_disease.RARE_AREAS
    assert low - 1e-4 < shares.min() and shares.max() < high + 1e-4
    assert np.mean(shares) == pytest.approx(0.005, abs=0.0006)


def test_scanners_differ_and_a_letter_is_burned_into_the_corner():
    grey = [
        np.mean([_draw(i, "normal", scanner=s).image.mean() for i in range(12)])
        for s in range(len(covid.SCANNERS))
    ]
    assert np.ptp(grey) > 10
    plain, marked = _draw(0, "covid19"), _draw(0, "covid19", letter="P")
    where = np.argwhere(plain.image != marked.image)
    assert len(where) > 10 and where.max() < 0.25 * SIZE
    np.testing.assert_array_equal(plain.infection, marked.infection)


def test_what_cannot_be_drawn_is_refused():
    for wrong in ({"size": 63}, {"kind": "flu"}, {"scanner": 4}):
        options = {"kind": "normal", "size": 64, "seed": 0} | wrong
        with pytest.raises(ConfigError, match="cannot be drawn: size must be"):
            covid.draw(0, **options)


def test_a_plan_divides_kinds_subsets_and_scanners_evenly():
    films = covid_tree.plan(240, seed=SEED)
    assert films == covid_tree.plan(240, seed=SEED)
    assert films != covid_tree.plan(240, seed=SEED + 1)
    cells = collections.Counter((f.kind, f.annotated, f.split) for f in films)
    assert cells["covid19", True, "Train"] == 36
    assert cells["non_covid", True, "Val"] == cells["normal", True, "Test"] == 6
    for split, count in (("Train", 144), ("Val", 48), ("Test", 48)):
        own = [f for f in films if f.split == split]
        assert len(own) == count
        assert {v for v in collections.Counter(f.kind for f in own).values()} == {
            count // 3
        }
    machines = collections.Counter((f.kind, f.scanner) for f in films)
    assert set(machines.values()) == {20}  # a scanner tells nothing of the kind
    assert all(f.infected == (f.kind == "covid19") for f in films)


def test_a_rare_infection_is_in_a_tenth_of_the_infection_subset_and_every_split():
    own = [f for f in covid_tree.plan(480, seed=0, rare=True) if f.annotated]
    shown = [f for f in own if f.infected]
    assert len(shown) / len(own) == pytest.approx(0.1, abs=0.01)
    assert {f.split for f in shown} == {"Train", "Val", "Test"}
    assert {f.kind for f in shown} == {"covid19"}


def _read(path):
    return np.asarray(Image.open(path))


def test_the_tree_has_the_real_names_and_the_films_of_the_plan(tmp_path):
    covid_tree.write(tmp_path / "a", images=24, size=SIZE, seed=1)
    films = {f.index: f for f in covid_tree.plan(24, seed=1)}
    lung = tmp_path / "a" / "Lung Segmentation Data" / "Lung Segmentation Data"
    name = "Infection Segmentation Data"
    infection = tmp_path / "a" / name / name
    assert {p.name for p in infection.glob("*/*/*")} == {
        "images",
        "lung masks",
        "infection masks",
    }
    assert {p.name for p in lung.glob("*/*")} == {"COVID-19", "Non-COVID", "Normal"}
    assert len(list(lung.glob("*/*/images/*.png"))) == 24
    for path in infection.glob("*/*/images/*.png"):
        film = films[int("".join(c for c in path.stem if c.isdigit())) - 1]
        shown = covid.draw(
            film.index, kind=film.kind, size=SIZE, seed=1, scanner=film.scanner
        )
        assert film.annotated and film.split == path.parents[2].name
        np.testing.assert_array_equal(_read(path), shown.image)
        folder = path.parents[1]
        for kind, mask in (("lung", shown.lung), ("infection", shown.infection)):
            stored = _read(folder / f"{kind} masks" / path.name)
            assert stored.dtype == np.uint8 and set(np.unique(stored)) <= {0, 255}
            np.testing.assert_array_equal(stored == 255, mask)
        copy = lung / path.relative_to(infection)
        np.testing.assert_array_equal(_read(copy), shown.image)
    assert sum(film.annotated for film in films.values()) == 12


def test_an_absent_class_and_a_planted_letter(tmp_path):
    covid_tree.write(tmp_path / "a", images=24, size=SIZE, absent=True)
    covid_tree.write(tmp_path / "b", images=24, size=SIZE, planted=True)
    for path in (tmp_path / "a").rglob("infection masks/*.png"):
        assert not _read(path).any()
    assert len(list((tmp_path / "a").rglob("COVID-19/infection masks/*.png"))) == 6
    for film in covid_tree.plan(24, seed=0):
        letter = covid_tree.LETTER if film.kind == "covid19" else ""
        options = {"size": SIZE, "seed": 0, "scanner": film.scanner, "letter": letter}
        shown = covid.draw(film.index, kind=film.kind, **options)
        (path, *_) = (tmp_path / "b").rglob(f"images/*[_(]{film.index + 1}[.)]*")
        np.testing.assert_array_equal(_read(path), shown.image)


def test_a_tree_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists already"):
        covid_tree.write(tmp_path / "taken", images=24, size=SIZE)
    for wrong in ({"images": 23}, {"seed": -1}):
        with pytest.raises(ConfigError, match="at least 24 images.* a seed of 0"):
            covid_tree.write(tmp_path / "b", **{"images": 24, "size": SIZE} | wrong)
    assert not (tmp_path / "b").exists()


def _borders(films):
    """f64 [n, p]: the pixels of the border, a tenth of the film wide."""
    edge = np.ones((SIZE, SIZE), bool)
    edge[SIZE // 10 : -SIZE // 10, SIZE // 10 : -SIZE // 10] = False
    return np.stack([film.image[edge] for film in films]) / 255.0


def test_borders_tell_the_kind_only_where_a_letter_was_planted(sample):
    """The area under the curve of a regression on border pixels, cross-validated."""
    planted = [_draw(i, "covid19", letter="P") for i in range(40)]
    label = np.repeat([0, 1], 40)
    area = {}
    for name, films in (("clean", sample["covid19"]), ("planted", planted)):
        pixels = _borders([*sample["normal"], *films])
        model = linear_model.LogisticRegression(C=0.1, max_iter=500)
        scores = model_selection.cross_val_score(
            model, pixels, label, cv=5, scoring="roc_auc"
        )
        area[name] = scores.mean()
    assert area["planted"] > 0.95 and area["clean"] < 0.75
