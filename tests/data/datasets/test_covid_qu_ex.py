"""COVID-QU-Ex is read from its real tree, in each choice of images and of classes."""

import pathlib
import shutil

import cv2
import numpy as np
import pytest

from jaxseg import prepare
from jaxseg.data import pipeline, prepared
from jaxseg.data.datasets import covid_qu_ex
from jaxseg.data.phantoms import covid_tree
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

SIZE = 64
INFECTION = pathlib.Path(covid_tree.INFECTION, covid_tree.INFECTION)
LUNG = pathlib.Path(covid_tree.LUNG, covid_tree.LUNG)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covid") / "raw"
    covid_tree.write(folder, images=24, size=SIZE, seed=2)
    return folder


@pytest.fixture
def tree(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "raw")


def ready(root, name="data", **options):
    return covid_qu_ex.prepare(root, root.parent / name, progress=False, **options)


def stored(directory):
    out = {}
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        for k in range(len(split)):
            own = {"split": name, "classes_of_image": split.image_classes[k].tolist()}
            out[split.ids[k]] = {**split[k], **own}
    return out


def files(root, example_id):
    """(image, lung bool, infection bool or None) of an id, read from its files."""
    subset, split, kind, stem = example_id.split("/")
    folder = root / (INFECTION if subset == "infection" else LUNG) / split / kind
    arrays = [
        cv2.imread(str(folder / name / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        for name in ("images", "lung masks", "infection masks")
    ]
    lung, infection = (None if a is None else a > 0 for a in arrays[1:])
    return arrays[0], lung, infection


def expected(labels, kind, lung, infection):
    """The class ids of an image, painted here by hand."""
    of = {"infection3": (1, 2, 1), "four_class": (1, 2, 3)}
    of |= {"lung": (1, 1, 1), "infection": (0, 1, 0)}
    healthy, infected, other = of[labels]
    mask = np.zeros(lung.shape, np.uint8)
    mask[lung] = other if kind == "Non-COVID" else healthy
    if labels != "lung" and infection is None and kind == "COVID-19":
        mask[lung] = IGNORE
    if labels != "lung" and infection is not None:
        mask[infection] = infected
    return mask


CASES = [("infection", labels) for labels in ("infection3", "four_class", "lung")]
CASES += [("lung", "lung"), ("both", "infection3"), ("both", "infection")]


@pytest.mark.parametrize("subset, labels", CASES)
def test_images_masks_and_classes(drawn, tmp_path, subset, labels):
    directory = covid_qu_ex.prepare(
        drawn, tmp_path, progress=False, subset=subset, labels=labels
    )
    examples, card = stored(directory), prepared.read_card(directory)
    assert len(examples) == (12 if subset == "infection" else 24)
    assert len({e["image"].tobytes() for e in examples.values()}) == len(examples)
    of = {"Normal": [1, 0, 0], "COVID-19": [0, 1, 0], "Non-COVID": [0, 0, 1]}
    kinds = {"Train": "train", "Val": "validation", "Test": "test"}
    for name, example in examples.items():
        _, split, kind, _ = name.split("/")
        image, lung, infection = files(drawn, name)
        np.testing.assert_array_equal(example["image"][..., 0], image)
        mask = expected(labels, kind, lung, infection)
        np.testing.assert_array_equal(example["mask"], mask)
        assert example["split"] == kinds[split] and example["group"] == name
        assert example["classes_of_image"] == of[kind]
        some, open_ = (mask == 1).any(), (mask == IGNORE).any()
        two = labels in ("lung", "infection")
        assert example["label"] == ((1 if some else -1 if open_ else 0) if two else -1)
    assert card["split_rule"] == "as given" and card["channels"] == 1
    assert card["image_classes"]["names"] == ["normal", "covid19", "non_covid"]
    assert card["image_classes"]["exclusive"] is True
    shows = [row[0] for row in card["image_classes"]["images"]["train"]]
    train = [e for e in examples.values() if e["split"] == "train"]
    assert shows == np.sum([e["classes_of_image"] for e in train], axis=0).tolist()
    copies = card["extra"]["lung_images_that_are_infection_images"]
    assert copies == (12 if subset == "both" else 0)


def test_severity_is_the_mean_infected_share_of_lungs(drawn, tmp_path):
    directory = covid_qu_ex.prepare(drawn, tmp_path, progress=False)
    told = prepared.read_card(directory)["extra"]["infected_share_of_lung"]
    split = prepared.open_split(directory, "train")
    names = [n for n in stored(directory) if "COVID-19" in n]
    shares = []
    for name in names:
        _, lung, infection = files(drawn, name)
        shares.append((infection & lung).sum() / lung.sum())
    assert told["covid19"] == {"images": 6, "mean": pytest.approx(np.mean(shares))}
    assert told["normal"]["mean"] == 0 == told["non_covid"]["mean"]
    covid = split.image_classes[:, 1] == 1
    pixels = split.pixels[covid]
    by_pixels = pixels[:, 2] / pixels[:, 1:].sum(1)  # the same from counts of pixels
    inside = [s for n, s in zip(names, shares, strict=True) if "/Train/" in n]
    np.testing.assert_allclose(sorted(by_pixels), sorted(inside))


def test_four_classes_are_no_lesions_and_it_is_said(drawn, tmp_path, caplog):
    options = {"progress": False, "labels": "four_class"}
    card = prepared.read_card(covid_qu_ex.prepare(drawn, tmp_path, **options))
    assert "no mask of a lesion" in card["extra"]["note"]
    assert "no mask of a lesion" in caplog.text
    lines = "\n".join(prepare.describe(card))
    assert "note: class 3" in lines and "image classes normal 1, covid19 4" in lines
    again = covid_qu_ex.prepare(drawn, tmp_path, **options)  # nothing is done twice
    assert again.name == "1.0.0"
    with pytest.raises(DataError, match="prepared differently: labels='four_class'"):
        covid_qu_ex.prepare(drawn, tmp_path, progress=False)


@pytest.mark.parametrize(
    "place", ["..", covid_tree.INFECTION, str(INFECTION), covid_tree.LUNG]
)
def test_the_source_may_lie_a_step_up_or_down(tree, place):
    inside = shutil.move(tree, tree.parent / "download" / "raw")
    source = pathlib.Path(inside) / place
    data = tree.parent / "data"
    directory = covid_qu_ex.prepare(source, data, progress=False)
    assert len(stored(directory)) == 12


def test_a_top_folder_that_is_not_doubled_is_read(tree):
    single = tree / covid_tree.LUNG
    (single / covid_tree.LUNG).rename(single.with_name("inner"))
    single.rmdir()
    single.with_name("inner").rename(single)
    assert len(stored(ready(tree, subset="lung", labels="lung"))) == 24


def _twin(root, first, second):
    """Makes the image of `second` that of `first`, in the infection subset."""
    shutil.copy(_first(root, first, "images"), _first(root, second, "images"))


def test_equal_images_in_two_splits_are_counted_or_refused(tree, caplog):
    _twin(tree, "Train/Normal", "Test/Normal")
    _twin(tree, "Val/COVID-19", "Val/Non-COVID")
    extra = prepared.read_card(ready(tree))["extra"]
    assert extra["images_in_two_splits"] == 1
    assert extra["images_in_two_image_classes"] == 1
    assert "images in two splits: 1" in caplog.text
    words = "is the same image as infection/Train/Normal.*set duplicates=count"
    with pytest.raises(DataError, match="(?s)" + words):
        ready(tree, "other", duplicates="refuse")


def test_a_lung_image_of_another_split_never_leaks(tree):
    """An image of the infection subset is there once, in its split of that subset."""
    path = _first(tree, "Test/COVID-19", "images")
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    copy = next((tree / LUNG / "Train/COVID-19/images").iterdir())
    assert cv2.imwrite(str(copy), image)
    directory = ready(tree, subset="both")
    examples = stored(directory).items()
    same = [name for name, e in examples if (e["image"][..., 0] == image).all()]
    assert same == [f"infection/Test/COVID-19/{path.stem}"]
    assert prepared.read_card(directory)["extra"]["images_in_two_splits"] == 0


def test_an_absent_class_keeps_its_number_and_has_no_support(tmp_path):
    root = tmp_path / "raw"
    covid_tree.write(root, images=24, size=SIZE, absent=True)
    with pytest.raises(DataError, match="covid_.*is empty, but its film is of COV"):
        ready(root)
    with pytest.raises(DataError, match="no pixel of infection; .*absent=infection"):
        ready(root, "counted", empty="count")
    directory = ready(root, "absent", absent="infection")
    card = prepared.read_card(directory)
    assert card["classes"] == ["background", "lung", "infection"]
    assert card["absent"] == ["infection"] and card["class_weights"][2] == 1
    assert card["extra"]["empty_infection_masks_of_covid19"] == 6
    assert "declared absent: infection" in "\n".join(prepare.describe(card))
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        assert split.absent == ["infection"] and not split.pixels[:, 2].any()


def test_a_class_that_is_declared_absent_and_occurs_is_an_error(drawn, tmp_path):
    with pytest.raises(DataError, match="infection is declared absent, but 6 images"):
        covid_qu_ex.prepare(drawn, tmp_path, progress=False, absent=("infection",))


def put(path, array):
    assert path.is_file() and cv2.imwrite(str(path), array)


def _first(root, place, kind="infection masks"):
    return sorted((root / INFECTION / place / kind).iterdir())[0]


def _rename(folder, name):
    folder.rename(folder.with_name(name))


def _clear(folder):
    for path in folder.rglob("*.png"):
        path.unlink()


MISSING = {
    "top folder": (
        lambda r: _rename(r / covid_tree.INFECTION, "Infection_Segmentation_Data"),
        "needs the folder 'Infection Segmentation Data', but holds .*; rename "
        "'Infection_Segmentation_Data' to 'Infection Segmentation Data'",
    ),
    "inner folder": (
        lambda r: _rename(r / INFECTION, "Infection Segmentation_data"),
        "rename 'Infection Segmentation_data' to 'Infection Segmentation Data'",
    ),
    "split": (
        lambda r: _rename(r / INFECTION / "Val", "val"),
        "needs the folder 'Val', but holds .*rename 'val' to 'Val'",
    ),
    "class": (
        lambda r: _rename(r / INFECTION / "Train" / "COVID-19", "COVID_19"),
        "Train needs the folder 'COVID-19', .*rename 'COVID_19' to 'COVID-19'",
    ),
    "masks of COVID-19": (
        lambda r: _rename(
            r / INFECTION / "Train/COVID-19/infection masks", "infection mask"
        ),
        "COVID-19 needs the folder 'infection masks', .*rename 'infection mask' to "
        "'infection masks'",
    ),
    "no mask folder": (
        lambda r: shutil.rmtree(r / INFECTION / "Test/Normal/lung masks"),
        "Normal needs the folder 'lung masks', but holds .*; names have spaces",
    ),
    "infection mask": (
        lambda r: _first(r, "Train/COVID-19").unlink(),
        "COVID-19/images/covid_.*png has no mask of its name in infection masks/",
    ),
    "lung mask": (
        lambda r: _first(r, "Val/Normal", "lung masks").unlink(),
        "Normal/images/Normal .*png has no mask of its name in lung masks/",
    ),
    "image": (
        lambda r: _first(r, "Test/Non-COVID", "images").unlink(),
        "lung masks/non_COVID .*png is a mask without an image",
    ),
    "class of a split": (
        lambda r: _clear(r / INFECTION / "Val" / "Normal"),
        "images holds no image, so Val would have none of Normal",
    ),
    "strange file": (
        lambda r: (r / INFECTION / "Val/Normal/images/a.gif").write_text("a"),
        "a.gif is no image",
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(tree, name):
    change, words = MISSING[name]
    change(tree)
    with pytest.raises(DataError, match=words):
        ready(tree)


def test_all_problems_of_the_folders_are_told_at_once(tree):
    for name in ("infection mask", "masks of COVID-19"):
        place = "Val/COVID-19" if name == "infection mask" else None
        if place:
            _first(tree, place).unlink()
        else:
            MISSING[name][0](tree)
    with pytest.raises(DataError, match="(?s)2 problem.*needs the folder.*has no mask"):
        ready(tree)


def test_masks_that_are_none_are_told_at_once(tree):
    infection = cv2.imread(str(_first(tree, "Train/COVID-19")), cv2.IMREAD_UNCHANGED)
    put(_first(tree, "Train/COVID-19"), infection // 255)
    put(_first(tree, "Val/COVID-19"), infection[:-1])
    grey = cv2.GaussianBlur(infection, (5, 5), 0)
    put(_first(tree, "Test/COVID-19"), grey)
    put(_first(tree, "Train/Normal"), infection)
    put(_first(tree, "Val/Non-COVID"), infection)
    empty = _first(tree, "Test/Normal", "lung masks")
    put(empty, 0 * infection)
    corner = 0 * infection
    corner[:9, :9] = 255
    second = sorted((_first(tree, "Train/COVID-19").parent).iterdir())[1]
    put(second, corner)
    with pytest.raises(DataError) as error:
        ready(tree)
    for words in (
        "6 problem(s)",
        "holds 0 and 1, but masks are 0 and 255 here: multiply it by 255",
        "is 63 x 64",
        "values from 0 to 255; a mask is 0 and 255 alone",
        "pixels of a film that is not of COVID-19",
        "100.0% of them outside the lung mask; allowed are 5.0% (outside=0.05)",
    ):
        assert words in str(error.value)
    assert str(error.value).count("a film that is not of COVID-19") == 2


def test_infection_beside_the_lung_is_painted_and_counted(tree, caplog):
    path = _first(tree, "Train/COVID-19")
    name = f"infection/Train/COVID-19/{path.stem}"
    _, lung, infection = files(tree, name)
    beside = cv2.dilate(lung.astype(np.uint8), np.ones((3, 3))) > lung
    row, column = np.argwhere(beside)[0]
    infection[row, column] = True
    put(path, 255 * infection.astype(np.uint8))
    put(_first(tree, "Val/COVID-19"), 0 * lung.astype(np.uint8))
    put(_first(tree, "Test/Normal", "lung masks"), 0 * lung.astype(np.uint8))
    directory = ready(tree, empty="count")
    assert stored(directory)[name]["mask"][row, column] == 2
    extra = prepared.read_card(directory)["extra"]
    assert extra["infected_pixels_outside_the_lung"] == 1
    assert extra["images_with_infection_outside_the_lung"] == 1
    assert extra["empty_infection_masks_of_covid19"] == extra["empty_lung_masks"] == 1
    assert "empty infection masks of covid19: 1" in caplog.text


OPTIONS = {
    "subset": ({"subset": "lungs"}, "subset is 'lungs': did you mean 'lung'"),
    "labels": (
        {"labels": "fourclass"},
        "labels is 'fourclass': did you mean 'four_class'",
    ),
    "together": ({"subset": "lung"}, "has no infection masks: set labels=lung"),
    "outside": ({"outside": 5}, "outside is 5; give the share"),
    "duplicates": ({"duplicates": "no"}, "duplicates is 'no': choose one of"),
    "absent": ({"absent": "covid"}, "absent is 'covid'; .*'covid' is none of them"),
    "all absent": ({"absent": "lung, infection"}, "not all of them"),
    "background": ({"absent": ["background"]}, "names of lung, infection"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_cannot_be_used_are_named(drawn, tmp_path, name):
    options, words = OPTIONS[name]
    with pytest.raises(ConfigError, match=words):
        covid_qu_ex.prepare(drawn, tmp_path, progress=False, **options)
    assert not list(tmp_path.iterdir())


def test_batches_carry_the_classes_of_images(drawn, tmp_path):
    directory = covid_qu_ex.prepare(drawn, tmp_path, progress=False)
    split = prepared.open_split(directory, "validation")
    view = pipeline.View((32, 32), "stretch", "none", None, None)
    batches = list(pipeline.eval_batches(split, view, batch_size=len(split) + 1))
    classes = batches[0]["image_classes"]
    assert classes.dtype == np.int8
    np.testing.assert_array_equal(classes[:-1], split.image_classes)
    assert (classes[-1] == -1).all() and batches[0]["weight"][-1] == 0
