"""The labels of one run: its section, its claim, and the pictures it was given."""

import json
import shutil
import types

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support import runs
from support.fake_budgets import labels

from jaxseg.data import sparse_labels
from jaxseg.errors import DataError
from jaxseg.experiment import build
from jaxseg.report import derived_numbers, figures
from jaxseg.report.read import read
from jaxseg.report.run import build as run_build
from jaxseg.report.run import claims, plots, sections, tables, training_labels
from jaxseg.train import label_pictures, run_record

CLASSES = ("background", "cell", "debris")


def _labels(masks):
    options = {"name": "clicks", "seed": 0, "positive": 2, "negative": 3}
    ids = [f"train/{i}" for i in range(len(masks))]
    size = masks[0].shape
    return sparse_labels.from_masks(masks, ids, options | {"annotators": 1}, size=size)


def _masks(count=5, side=24):
    """Two clicks of background and of class 1; of class 2 in the last three images."""
    masks = np.full((count, side, side), 255, np.uint8)
    masks[:, [3, 3], [4, 9]], masks[:, [12, 18], [5, 20]] = 0, 1
    masks[2:, 20, 6] = 2
    return masks


def test_a_choice_of_masks_is_counted_in_images(tmp_path):
    kinds = {"positives_with_mask": 3, "positives_with_label_only": 17}
    kinds |= {"negatives": 1234, "without_label": 0}
    budget = labels(3, 3) | {"kinds": kinds}
    budget["options"] = {"name": "mixed", "seed": 0, "masks": 0.15, "annotators": 1}
    run = {"info": {"supervision": budget}, "workdir": tmp_path}
    text = str(training_labels.blocks(run))
    assert "Training saw the masks of the negatives and of these positives" in text
    for words in ("positives with label only", "'17'", "1,234", "0.15"):
        assert words in text
    plain = {"info": {"supervision": labels(3, 3)}, "workdir": tmp_path}
    assert "masks of the negatives" not in str(training_labels.blocks(plain))


def _split(masks, channels=1):
    image = np.full((*masks.shape[1:], channels), 90, np.uint8)

    def view(split, index):
        return {"image": image + np.uint8(index)}

    ids = [f"train/{i}" for i in range(len(masks))]
    view.fit = "stretch"
    return types.SimpleNamespace(ids=ids, classes=CLASSES), view


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_show_every_label_where_it_lies(tmp_path, channels):
    masks = _masks()
    split, view = _split(masks, channels)
    label_pictures.write(tmp_path, split, view, _labels(masks))
    folder = tmp_path / label_pictures.FOLDER
    index = json.loads((folder / label_pictures.INDEX).read_text())
    assert [e["id"] for e in index["examples"]] == ["train/2", "train/3", "train/4"]
    assert index["examples"][0]["pixels"] == {"background": 2, "cell": 2, "debris": 1}
    marks = {each["class"]: each["mark"] for each in index["legend"]}
    assert marks == {"background": "cross", "cell": "disc", "debris": "triangle"}
    assert len({each["colour"] for each in index["legend"]}) == 3
    with Image.open(folder / "0_image.png") as picture:
        assert picture.size == (24, 24) and np.array(picture).max() == 92
    with Image.open(folder / "0_labels.png") as picture:
        drawn = np.array(picture)
    scale = label_pictures.SIDE // 24
    assert drawn.shape == (24 * scale, 24 * scale, 3)
    plain = (drawn == 92).all(-1).reshape(24, scale, 24, scale)
    centres = drawn[scale // 2 :: scale, scale // 2 :: scale]
    for each in index["legend"]:
        colour = tuple(bytes.fromhex(each["colour"][1:]))
        at = masks[2] == CLASSES.index(each["class"])
        assert (centres[at] == colour).all()
    assert plain.all((1, 3))[masks[2] == 255].mean() > 0.9  # the rest is the image


def test_pictures_are_written_once_and_not_without_a_label(tmp_path):
    masks = _masks()
    split, view = _split(masks)
    label_pictures.write(tmp_path / "none", split, view, _labels(masks * 0 + 255))
    assert not (tmp_path / "none").exists()
    label_pictures.write(tmp_path, split, view, _labels(masks))
    label_pictures.write(tmp_path, split, None, _labels(masks))  # reads no image again


def test_dense_labels_tint_their_pixels_and_large_images_shrink():
    mask = np.full((800, 500), 255, np.uint8)
    mask[:400, 100:300] = 1
    drawn, marks = label_pictures.draw(np.full((800, 500), 100, np.uint8), mask)
    assert drawn.shape == (label_pictures.SIDE, 240, 3) and marks == {1: "area"}
    assert drawn[50, 90].tolist() == [165, 130, 50] and (drawn[300] == 100).all()


@pytest.mark.parametrize("name, there", [("clicks", True), ("full", False)])
def test_a_run_that_begins_writes_them(tmp_path, name, there):
    config = runs.config("clicks", "smoke", **{"supervision.name": name})
    experiment = build.load(config, batch_size=8)
    run_record.begin(tmp_path, config, experiment, {})
    assert (tmp_path / label_pictures.FOLDER / label_pictures.INDEX).exists() == there
    assert (tmp_path / sparse_labels.FILE).exists() == there


def _section(run):
    labels = [s for s in sections.sections(run, []) if s["id"] == "labels"]
    return labels[0]["blocks"] if labels else None


def _rows(block):
    return [[cell["main"] for cell in row] for row in block["rows"]]


def test_a_run_on_clicks_has_a_section_and_others_have_none(run, undrawn):
    assert _section(run) is None
    run["info"]["supervision"] = None
    assert _section(run) is None and list(training_labels.claims(run)) == []
    run["info"]["supervision"] = labels(50, 10, short=4)
    run["info"]["dataset"]["splits"]["train"]["pixels"] = [300, 100]
    budget, classes = _section(run)[1]["blocks"]
    facts = dict(_rows(budget))
    assert facts["kind"] == "clicks" and facts["positive"] == "50"
    assert facts["distinct labelled pixels"] == "3,500"
    assert _rows(classes) == [
        ["background", "10", "600", "17.1 %", "75.0 %", "0"],
        ["cell", "50", "2,900", "82.9 %", "25.0 %", "4"],
    ]
    (claim,) = training_labels.claims(run)
    assert claim["answer"] == "no" and "cell in 4 of 60" in claim["text"]
    assert claim in claims.claims(run)
    run["info"]["supervision"] = labels(50, 10)
    assert [c["answer"] for c in training_labels.claims(run)] == ["yes"]


def test_labels_of_another_kind_have_no_clicks_asked(run, undrawn):
    strokes = labels(2, 2, name="scribbles", length=40) | {"short_images": {}}
    run["info"]["supervision"] = strokes
    classes = _section(run)[1]["blocks"][1]
    assert [row[1] for row in _rows(classes)] == ["n/a", "n/a"]
    assert list(training_labels.claims(run)) == []


@pytest.fixture
def clicked(binary, tmp_path):
    """A run directory with labels and their pictures."""
    root = tmp_path / "run"
    shutil.copytree(binary, root)
    info = json.loads((root / "run.json").read_text())
    (root / "run.json").write_text(json.dumps(info | {"supervision": labels(2, 2)}))
    masks = _masks()
    split, view = _split(masks)
    label_pictures.write(root, split, view, _labels(masks))
    return root


def test_the_report_shows_the_pictures_and_is_the_same_twice(clicked):
    paths = run_build.build(clicked)
    first = {p.name: p.read_bytes() for p in clicked.rglob("*.*")}
    text, page = paths["markdown"].read_text(), paths["html"].read_text()
    for k in range(3):
        assert f"](figures/labels_{k}.png)" in text
        drawn = (clicked / label_pictures.FOLDER / f"{k}_labels.png").read_bytes()
        assert (clicked / f"figures/labels_{k}.png").read_bytes() == drawn
    assert "cross: background" in page and "disc: cell" in page
    assert "`train/2`, labelled pixels: background 2, cell 2, debris 1" in text
    run_build.build(clicked)
    assert {p.name: p.read_bytes() for p in clicked.rglob("*.*")} == first


def test_a_picture_that_is_gone_is_named(clicked, undrawn):
    (clicked / label_pictures.FOLDER / "1_labels.png").unlink()
    with pytest.raises(DataError, match="1_labels.png cannot be read"):
        _section(read(clicked))
    (clicked / label_pictures.FOLDER / label_pictures.INDEX).write_text("{}")
    with pytest.raises(DataError, match="does not list pictures"):
        _section(read(clicked))


@pytest.mark.parametrize(
    "more, heads, words",
    [
        ({"top_threshold": 0.5, "gate": None}, [], ""),
        ({"top_threshold": 0.8, "gate": None}, ["Top threshold"], "top threshold 0.8"),
        ({"top_threshold": 0.5, "gate": 0.9}, ["Gate"], "gate 0.9"),
    ],
)
def test_an_operating_point_is_shown_with_all_of_its_rule(
    run, monkeypatch, more, heads, words
):
    split = run["splits"]["test"]
    split["result"]["operating_point"].update(more, min_area=0.001)
    table = tables.operating_point(run)
    names = table["heads"]
    assert names[2 : names.index("Minimum area")] == heads
    assert all(len(row) == len(names) for row in table["rows"])
    (claim,) = claims.operating_point(run, split)
    assert (
        f"(threshold 0.500 and minimum area 0.1 % of an image{', ' * bool(words)}"
        in (claim["text"])
    )
    assert words in claim["text"] and ("gate" in claim["text"]) == ("gate" in words)
    axes = Figure().add_subplot()
    monkeypatch.setattr(figures, "plot", lambda name, title, words, draw: draw(axes))
    plots.precision_recall(run)
    later = " and ".join(["minimum area", *(head.lower() for head in heads)])
    legend = axes.get_legend_handles_labels()[1]
    assert f"threshold 0.500, before {later}" in legend


def test_baselines_of_several_classes_are_read_class_by_class(several):
    split = read(several)["splits"]["test"]
    name = derived_numbers.classes(split)[1]
    (row,) = [
        r
        for r in derived_numbers.metric_rows(split)
        if (r["name"], r["class"]) == ("dice_pooled", name)
    ]
    for base in split["result"]["baselines"]:
        del base["classes"]
    older = derived_numbers.baselines(split, row)
    assert set(older.values()) == {None}
    base = split["result"]["baselines"][0]
    base["classes"] = {name: {"dice_pooled": 0.25}}
    assert derived_numbers.baselines(split, row)[base["name"]] == 0.25
    row["class"] = derived_numbers.MEAN
    assert (
        derived_numbers.baselines(split, row)[base["name"]]
        == base["metrics"]["dice_pooled"]
    )
    base["classes"][derived_numbers.classes(split)[0]] = {"dice_pooled": 1.0}
    told = claims.above_baselines(read(several), split)
    assert not [c for c in told if "of background" in c["text"]]
