"""TensorBoard reads back what was written, and logging never stops a run."""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import logging
from PIL import Image
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer as plugin
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams import metadata
from tensorboard.util import tensor_util

from jaxseg.train import tensorboard

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: lines.append(text % a))
    return lines


def _load(workdir):
    """(TensorBoard's multiplexer, its data provider) over a workdir."""
    multiplexer = plugin.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(workdir))
    multiplexer.Reload()
    return multiplexer, data_provider.MultiplexerDataProvider(multiplexer, str(workdir))


def _arrays(workdir, tag):
    """{step: value} of a tag, as TensorBoard's accumulator keeps them."""
    events = _load(workdir)[0].GetAccumulator("tb").Tensors(tag)
    return {e.step: tensor_util.make_ndarray(e.tensor_proto) for e in events}


def _log(workdir, steps, value, **kwargs):
    writer = tensorboard.create_writer(workdir, just_logging=False, **kwargs)
    for step in steps:
        writer.write_scalars(step, {"loss": value})
    return writer


def test_every_kind_reaches_its_plugin(tmp_path):
    image = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)
    writer = tensorboard.create_writer(tmp_path, just_logging=False)
    writer.write_hparams({"rate": 1e-4, "name": "unet", "sizes": (1, 2)})
    writer.write_scalars(3, {"loss": np.float32(0.25), "validation/dice": 0.5})
    writer.write_images(3, {"grey": np.zeros((4, 6, 1), np.uint8), "pair": image})
    writer.write_texts(3, {"config": "a: 1"})
    writer.write_histograms(3, {"weights": np.array([0.0, 1.0, 1.0, np.nan])})
    counts = {"tp": [10, 8, 0], "fp": [90, 2, 0], "tn": [0, 88, 90], "fn": [0, 2, 10]}
    writer.write_pr_curve(3, "pixels", **counts)
    writer.close()

    provider = _load(tmp_path)[1]
    asked = {"experiment_id": "", "ctx": RequestContext()}
    scalars = provider.list_scalars(plugin_name="scalars", **asked)["tb"]
    images = provider.list_blob_sequences(plugin_name="images", **asked)["tb"]
    assert set(scalars) == {"loss", "validation/dice"} and set(images) == {
        "grey",
        "pair",
    }
    for name, tags in [
        ("text", {"config"}),
        ("histograms", {"weights"}),
        ("pr_curves", {"pixels"}),
        ("hparams", {"_hparams_/session_start_info"}),
    ]:
        assert set(provider.list_tensors(plugin_name=name, **asked)["tb"]) == tags
    assert _arrays(tmp_path, "loss") == {3: 0.25}
    pair = _arrays(tmp_path, "pair")[3]
    assert (pair[0], pair[1], len(pair)) == (b"7", b"5", 4)  # width, height, 2 images
    back = np.asarray(Image.open(io.BytesIO(pair[3])))
    np.testing.assert_array_equal(back, np.round(image[1] * 255).astype(np.uint8))
    curve = _arrays(tmp_path, "pixels")[3]
    # precision 10/100, 8/10, nothing predicted; recall 10/10, 8/10, 0/10
    np.testing.assert_allclose(curve[4], [0.1, 0.8, 0.0], rtol=1e-6)
    np.testing.assert_allclose(curve[5], [1.0, 0.8, 0.0], rtol=1e-6)
    assert _arrays(tmp_path, "weights")[3][:, 2].sum() == 3  # NaN is left out


def test_a_resumed_run_hides_what_the_killed_one_wrote_later(tmp_path):
    killed = _log(tmp_path, [1, 2, 3, 4], 1.0)
    killed.flush()  # and no close
    _log(tmp_path, [3], 2.0, resumed_step=2).close()
    assert _arrays(tmp_path, "loss") == {1: 1.0, 2: 1.0, 3: 2.0}
    killed.close()


def test_event_files_are_read_in_the_order_they_were_begun(tmp_path):
    for k in range(12):  # within one second, of one process
        _log(tmp_path, [1], float(k), resumed_step=0).close()
    assert len(list((tmp_path / "tb").iterdir())) == 12
    assert _arrays(tmp_path, "loss") == {1: 11.0}


def test_only_the_writing_process_makes_files(tmp_path):
    writer = tensorboard.create_writer(tmp_path, just_logging=True)
    writer.write_scalars(1, {"loss": 0.5})
    writer.write_pr_curve(1, "p", tp=[1], fp=[0], tn=[0], fn=[0])
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_once_and_stops_nothing(tmp_path, warned):
    writer = tensorboard.TensorBoardWriter(tmp_path)
    writer.records.close()
    writer.records = tensorboard.RecordWriter(open("/dev/full", "wb", buffering=0))
    outer = tensorboard.Writer([writer])
    for step in range(5):
        outer.write_scalars(step, {"loss": 1.0})
        outer.flush()
    outer.close()
    assert len(warned) == 1 and "No space left" in warned[0], warned


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path, warned):
    (tmp_path / "tb").write_text("a file where the folder should be")
    _log(tmp_path, range(5), 1.0).close()
    assert len(warned) == 1 and "Training goes on" in warned[0]


def test_a_value_that_cannot_be_written_is_skipped_alone(tmp_path, warned):
    writer = tensorboard.create_writer(tmp_path, just_logging=False)
    for step in range(3):
        writer.write_images(step, {"wrong": np.zeros((4, 4, 1), np.int32)})
        writer.write_scalars(step, {"loss": float(step)})
    writer.close()
    assert len(warned) == 1 and "int32" in warned[0]
    assert _arrays(tmp_path, "loss") == {0: 0.0, 1: 1.0, 2: 2.0}


@pytest.mark.parametrize("installed", [False, True])
def test_tensorflow_is_never_imported(tmp_path, installed):
    if installed:  # a TensorFlow that breaks whoever imports it
        (tmp_path / "tensorflow").mkdir()
        (tmp_path / "tensorflow" / "__init__.py").write_text("raise SystemExit('TF')")
    code = (
        "import sys, numpy as np\n"
        "from jaxseg.train import tensorboard as writers\n"
        f"w = writers.create_writer({str(tmp_path / 'run')!r}, just_logging=False)\n"
        "w.write_scalars(1, {'a': 1.0}); w.write_hparams({'b': 2})\n"
        "w.write_images(1, {'i': np.zeros((2, 2, 3), np.uint8)})\n"
        "w.write_texts(1, {'t': 'x'}); w.write_histograms(1, {'h': np.ones(3)})\n"
        "w.write_pr_curve(1, 'p', tp=[1], fp=[0], tn=[0], fn=[0]); w.close()\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "skips" not in done.stderr, done.stderr
    assert _arrays(tmp_path / "run", "a") == {1: 1.0}


def test_settings_of_a_run_that_goes_on_take_the_place_of_those_before(tmp_path):
    """As TensorBoard reads them, after an older run that had them among its points."""
    writer = tensorboard.create_writer(tmp_path, just_logging=False)
    writer.write_hparams({"epochs": 3})
    writer.write_scalars(1, {"loss": 0.5})
    writer.close()
    for epochs in (6, 9):
        tensorboard.write_settings(tmp_path, {"epochs": epochs, "sizes": (1, 2)})
        tensorboard.create_writer(tmp_path, just_logging=False, resumed_step=1).close()
    tag = "_hparams_/session_start_info"
    content = _load(tmp_path)[0].SummaryMetadata("tb", tag).plugin_data.content
    shown = metadata.parse_session_start_info_plugin_data(content).hparams
    assert shown["epochs"].number_value == 9
    assert shown["sizes"].string_value == "(1, 2)"


def test_settings_that_cannot_be_written_stop_nothing(tmp_path):
    (tmp_path / "tb").write_text("a file where the folder should be")
    tensorboard.write_settings(tmp_path, {"epochs": 6})
