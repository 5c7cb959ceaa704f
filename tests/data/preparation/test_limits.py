"""A file that ends its decoder while a folder is prepared is named."""

import pytest
from support import worker_tasks

from jaxseg.data.datasets import image_folder
from jaxseg.data.datasets._folder import examples, facts
from jaxseg.errors import DataError

CRASHED = r"s003\.png: reading it ended the process of the decoder \(SIGSEGV\)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw") / "tissue"
    image_folder.write_demo(root, images=12, size=48, seed=0)
    names = [path.stem for path in sorted((root / "images").iterdir())]
    for k, name in enumerate(names):
        for part in ("images", "masks"):
            (root / part / f"{name}.png").rename(root / part / f"s{k:03d}.png")
    (root / "splits.csv").unlink(missing_ok=True)
    return root


def test_while_the_folder_is_checked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "packed", worker_tasks.crash_at_third)
    with pytest.raises(DataError, match=f"1 problem.*\n.*{CRASHED}"):
        image_folder.prepare(folder, tmp_path, progress=False)
    assert list((tmp_path / "image_folder").iterdir()) == []


def test_while_it_is_converted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "packed", worker_tasks.crash_at_third)
    with pytest.raises(DataError, match=CRASHED):
        image_folder.prepare(folder, tmp_path, progress=False)
    assert list((tmp_path / "image_folder").iterdir()) == []
