"""The same global batches for any number of processes and workers, from any step."""

import functools

import numpy as np
import pytest
from support import toy

from jaxseg.data import pipeline
from jaxseg.data.samplers import balanced

VIEW = pipeline.View((16, 16), "stretch", "none", None, None)
BATCH, EPOCH = 8, 24


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return toy.split(tmp_path_factory.mktemp("toy"))


def _order(split):
    return functools.partial(
        balanced.order,
        split.present,
        seed=0,
        epochs=4,
        size=EPOCH,
        share=0.5,
        negative_keep=0.5,
        positive_weight=1.0,
    )


def _global(split, *, processes=1, workers=0, start=0, steps=9):
    """Index of every example of every global batch, [steps, batch]."""
    parts = [
        [
            b["index"]
            for b in pipeline.train_batches(
                split,
                VIEW,
                _order(split),
                epoch_size=EPOCH,
                batch_size=BATCH,
                steps=steps,
                start=start,
                process=p,
                processes=processes,
                workers=workers,
            )
        ]
        for p in range(processes)
    ]
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize("processes,workers", [(2, 0), (4, 0), (1, 1), (2, 2)])
def test_global_batches_do_not_depend_on_processes_and_workers(
    split, processes, workers
):
    np.testing.assert_array_equal(
        _global(split, processes=processes, workers=workers), _global(split)
    )


def test_a_start_in_the_middle_continues_the_stream(split):
    np.testing.assert_array_equal(_global(split, start=5), _global(split)[5:])


def test_the_stream_is_the_order_of_the_epochs(split):
    expected = np.concatenate([_order(split)(epoch=e) for e in range(3)])
    np.testing.assert_array_equal(_global(split).ravel(), expected)


def test_no_process_gets_all_the_positives(split):
    """Slicing after mixing, but before batching, gave one process all of them."""
    for part in np.split(_global(split, processes=2), 2, axis=-1):
        assert 0.3 < np.mean(split.positive[part]) < 0.7


def test_examples_arrive_with_their_masks(split):
    stream = pipeline.train_batches(
        split, VIEW, _order(split), epoch_size=EPOCH, batch_size=BATCH, steps=2
    )
    for batch in stream:
        assert batch["image"].shape == (BATCH, 16, 16, 1)
        assert batch["image"].dtype == batch["mask"].dtype == np.uint8
        for k, index in enumerate(batch["index"]):
            inside = batch["mask"][k] == 1
            assert inside.any() == split.positive[index]
            base = int(split.ids[index][-3:])
            assert abs(int(batch["image"][k, -1, -1, 0]) - base) <= 1
            if inside.any():
                assert batch["image"][k, ..., 0][inside].mean() > base + 60


@pytest.mark.parametrize("processes,batch_size", [(1, 8), (2, 8), (1, 5), (4, 4)])
def test_evaluation_sees_every_example_once(split, processes, batch_size):
    batches = [
        b
        for p in range(processes)
        for b in pipeline.eval_batches(
            split, VIEW, batch_size=batch_size, process=p, processes=processes
        )
    ]
    index = np.concatenate([b["index"] for b in batches])
    weight = np.concatenate([b["weight"] for b in batches])
    assert sorted(index[weight > 0]) == list(range(len(split)))
    assert (index[weight == 0] == -1).all()
    assert all((b["mask"][b["weight"] == 0] == 255).all() for b in batches)
