"""A prepared data set is the same byte for byte, whatever the number of workers."""

import pytest

from jaxseg.data.datasets import image_folder, phc
from jaxseg.data.preparation import workers

MADE = {
    "image_folder": (image_folder, {"images": 24, "size": 48}),
    "phc": (phc, {"images": 24, "size": 40}),
}


def _bytes(folder):
    """The files of the data set; dataset_info.json says where and how long."""
    names = [p.name for p in folder.iterdir() if p.name not in ("dataset_info.json",)]
    return {name: (folder / name).read_bytes() for name in names if "card" not in name}


@pytest.mark.parametrize("name", MADE)
def test_one_worker_or_three(tmp_path, monkeypatch, name):
    module, drawn = MADE[name]
    module.write_demo(tmp_path / "raw", seed=0, **drawn)
    monkeypatch.setattr(workers, "_WORKER_ITEMS", 4)
    monkeypatch.setattr(workers, "_CHUNK", 3)
    made = []
    for count in (1, 3):
        monkeypatch.setattr(workers, "most", lambda count=count: count)
        folder = module.prepare(tmp_path / "raw", tmp_path / str(count), progress=False)
        made.append(_bytes(folder))
    assert made[0] == made[1] and len(made[0]) > 4
