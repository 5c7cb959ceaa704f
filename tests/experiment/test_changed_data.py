"""A run neither goes on nor is scored again with other pixels under the same names."""

import json
import shutil

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict
from support import older_runs

from jaxseg.data import content, prepared
from jaxseg.data.datasets import image_folder
from jaxseg.errors import DataError
from jaxseg.experiment import score_again
from jaxseg.run_directory import older_configs
from jaxseg.train import loop


@pytest.fixture(scope="module")
def runs_of_now(tmp_path_factory):
    """Two runs and their images, with the digests that a run of now has."""
    folder = older_runs.unpack(tmp_path_factory.mktemp("runs"))
    data = image_folder.prepare(folder / "my_images", folder / "data", progress=False)
    card = prepared.read_card(data)
    for name in ("finished", "stopped"):
        path = folder / name / "run.json"
        record = json.loads(path.read_text())
        assert record["dataset"]["split_hash"] == card["split_hash"]
        record["dataset"] |= {"content": card["content"]}
        path.write_text(json.dumps(record))
    return folder


def _inverted(folder):
    for path in (folder / "images").iterdir():
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def _mirrored(folder):
    for path in (folder / "masks").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.ascontiguousarray(mask[:, ::-1]))


def test_evaluate_compares_as_much_as_it_is_told(runs_of_now, tmp_path, monkeypatch):
    shutil.copytree(runs_of_now / "finished", tmp_path / "run")
    where = str(runs_of_now / "my_images")

    def check(splits, *, which):
        raise DataError(f"{len(splits)} splits, {which}")

    monkeypatch.setattr(content, "check", check)
    for options, which in (({}, "sample"), ({"verify": "all"}, "all")):
        with pytest.raises(DataError, match=f"3 splits, {which}"):
            score_again.score_again(tmp_path / "run", "test", data_dir=where, **options)


@pytest.mark.parametrize("change", [_inverted, _mirrored])
def test_other_pixels_under_the_same_names(runs_of_now, tmp_path, change):
    for name in ("finished", "stopped", "my_images"):
        shutil.copytree(runs_of_now / name, tmp_path / name)
    change(tmp_path / "my_images")
    scored = (tmp_path / "finished/eval/test.json").read_bytes()
    where = str(tmp_path / "my_images")
    with pytest.raises(DataError, match="names, images or masks of train, valid"):
        score_again.score_again(tmp_path / "finished", "test", data_dir=where)
    assert (tmp_path / "finished/eval/test.json").read_bytes() == scored
    config = ConfigDict(json.loads((tmp_path / "stopped/config.json").read_text()))
    config = older_configs.complete(config)
    config.data.dir = where
    with pytest.raises(DataError, match="are not those the run was begun with"):
        loop.train_and_evaluate(config, tmp_path / "stopped")
