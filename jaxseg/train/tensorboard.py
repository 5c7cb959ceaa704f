"""Writes TensorBoard event files through clu's interface, without TensorFlow.

clu 0.0.12 imports TensorFlow in one submodule; a stand-in for that submodule keeps
it out (1.5 GB and 6.5 s of import that nothing here needs), installed or not. A
fault in logging (a full disk, a lost folder, a value that cannot be drawn) is
reported once and never stops training.
"""

import contextlib
import functools
import io
import os
import pathlib
import socket
import sys
import time
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from PIL import Image

from jaxseg import atomic
from jaxseg.errors import NotWritten

_CLU = types.ModuleType("clu.metric_writers.summary_writer")
_CLU.SummaryWriter = lambda logdir: TensorBoardWriter(logdir)
sys.modules.setdefault(_CLU.__name__, _CLU)

from clu import metric_writers, parameter_overview  # noqa: E402
from tensorboard.compat.proto import event_pb2, summary_pb2  # noqa: E402
from tensorboard.plugins.histogram import metadata as histogram_metadata  # noqa: E402
from tensorboard.plugins.hparams import summary_v2 as hparams_summary  # noqa: E402
from tensorboard.plugins.image import metadata as image_metadata  # noqa: E402
from tensorboard.plugins.pr_curve import metadata as pr_curve_metadata  # noqa: E402
from tensorboard.plugins.scalar import metadata as scalar_metadata  # noqa: E402
from tensorboard.plugins.text import metadata as text_metadata  # noqa: E402
from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: E402
from tensorboard.util import tensor_util  # noqa: E402

_EVENTS = "events.out.tfevents."
_SETTINGS = f"{_EVENTS}0000000001.settings"  # sorts before all that have a time
_FLUSH_SECONDS = 10.0


def create_writer(
    workdir: str | os.PathLike, *, just_logging: bool, resumed_step: int = 0
) -> "Writer":
    """An asynchronous clu writer to `workdir`/tb, or to the log with `just_logging`.

    Process 0 writes events, the others only log. After a restore give the restored
    step: TensorBoard then forgets what a killed run wrote after it.
    """
    if just_logging:
        return Writer([metric_writers.LoggingWriter()])
    folder = pathlib.Path(workdir) / "tb"
    return Writer([TensorBoardWriter(folder, resumed_step=resumed_step)])


def write_settings(workdir: str | os.PathLike, settings: Mapping[str, Any]) -> None:
    """Writes what HPARAMS shows of a run, in place of what it showed before.

    It stands in a file of its own, which is replaced: of two records TensorBoard keeps
    the one that it reads first, in the order of the names of the files.
    """
    file = io.BytesIO()
    records = RecordWriter(file)
    version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
    event = event_pb2.Event(wall_time=time.time(), summary=_hparams(settings))
    for each in (version, event):
        records.write(each.SerializeToString())
    path = pathlib.Path(workdir) / "tb" / _SETTINGS
    try:
        atomic.replace(path, file.getvalue())
    except (OSError, NotWritten) as error:
        logging.warning("HPARAMS of TensorBoard has no settings (%s).", error)


def _hparams(settings: Mapping[str, Any]) -> summary_pb2.Summary:
    kinds = (bool, int, float, str)
    plain = {k: v if isinstance(v, kinds) else str(v) for k, v in settings.items()}
    return hparams_summary.hparams_pb(plain)


def parameter_table(params: Any) -> str:
    """A row of name, shape and size for each parameter, and the total; by clu.

    Shapes (jax.ShapeDtypeStruct) will do.
    """
    return parameter_overview.get_parameter_overview(params, include_stats=False)


class Writer(metric_writers.AsyncMultiWriter):
    """clu's asynchronous writer, with precision-recall curves."""

    def write_pr_curve(self, step: int, name: str, *, tp, fp, tn, fn) -> None:
        """Writes a curve from counts [n] at n thresholds, evenly spaced from 0 to 1."""
        tp, fp, tn, fn = (np.asarray(counts, np.float64) for counts in (tp, fp, tn, fn))
        precision = tp / np.maximum(tp + fp, 1.0)
        recall = tp / np.maximum(tp + fn, 1.0)
        curve = np.stack([tp, fp, tn, fn, precision, recall]).astype(np.float32)
        metadata = pr_curve_metadata.create_summary_metadata(name, "", len(tp))
        self.write_summaries(step, {name: curve}, metadata)


def _harmless(method):
    """`method`, whose faults are reported once each and go no further.

    After a fault of the disk nothing more is written: a record after half a record
    would make the whole file unreadable.
    """

    @functools.wraps(method)
    def run(self, *args, **kwargs):
        if self.broken:
            return
        try:
            method(self, *args, **kwargs)
        except OSError as error:
            self.broken = True
            with contextlib.suppress(OSError, AttributeError):
                self.records.close()
            logging.warning(
                "TensorBoard events in %s end here (%s). Training goes on; "
                "history.csv has the numbers.",
                self.folder,
                error,
            )
        except Exception as error:  # a value that cannot be written
            fault = f"{method.__name__}: {error}"
            if fault not in self.reported:
                self.reported.add(fault)
                logging.warning("TensorBoard skips a value (%s).", fault)

    return run


def _second(folder: pathlib.Path) -> int:
    """The time now, but later than that of every event file of the folder.

    TensorBoard reads them in the order of their names, and where the later file comes
    first, it is the earlier one that hides the other.
    """
    names = [path.name.removeprefix(_EVENTS) for path in folder.glob(f"{_EVENTS}*")]
    seconds = [int(name.split(".")[0]) for name in names if name[:1].isdigit()]
    return max([int(time.time()), *(second + 1 for second in seconds)])


class TensorBoardWriter(metric_writers.MetricWriter):
    """A clu writer that puts tensorboard's own records into one event file."""

    def __init__(self, folder: str | os.PathLike, *, resumed_step: int = 0):
        self.folder = pathlib.Path(folder)
        self.broken, self.reported = False, set()
        self.flushed = time.monotonic()
        self._open(resumed_step)

    @_harmless
    def _open(self, resumed_step):
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{_second(self.folder):010d}.{socket.gethostname()}.{os.getpid()}"
        self.records = RecordWriter((self.folder / f"{_EVENTS}{name}").open("xb"))
        self._event(file_version="brain.Event:2")
        # START with a step makes TensorBoard forget that step and all later ones
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._event(step=resumed_step + 1, session_log=start)
        self.records.flush()

    def _event(self, **fields):
        event = event_pb2.Event(wall_time=time.time(), **fields)
        self.records.write(event.SerializeToString())
        if time.monotonic() - self.flushed > _FLUSH_SECONDS:
            self.records.flush()
            self.flushed = time.monotonic()

    def _tensor(self, step, name, array, metadata):
        """Writes one value; `metadata` names the plugin that shows it."""
        value = summary_pb2.Summary.Value(tag=name, metadata=metadata)
        value.tensor.CopyFrom(tensor_util.make_tensor_proto(array))
        self._event(step=int(step), summary=summary_pb2.Summary(value=[value]))

    @_harmless
    def write_summaries(self, step, values, metadata=None):
        for name, array in values.items():
            self._tensor(step, name, np.asarray(array), metadata)

    @_harmless
    def write_scalars(self, step, scalars: Mapping[str, Any]):
        metadata = scalar_metadata.create_summary_metadata("", "")
        for name, value in scalars.items():
            number = np.asarray(value, np.float32).reshape(())
            self._tensor(step, name, number, metadata)

    @_harmless
    def write_images(self, step, images: Mapping[str, Any]):
        """Images u8, or float 0 to 1, [h w c] or [n h w c] with 1, 3 or 4 channels."""
        for name, batch in images.items():
            batch = np.asarray(batch)
            batch = batch[None] if batch.ndim == 3 else batch
            size = [str(batch.shape[2]).encode(), str(batch.shape[1]).encode()]
            strings = np.array(size + [_png(image) for image in batch], object)
            metadata = image_metadata.create_summary_metadata("", "")
            self._tensor(step, name, strings, metadata)

    @_harmless
    def write_texts(self, step, texts: Mapping[str, str]):
        metadata = text_metadata.create_summary_metadata("", "")
        for name, text in texts.items():
            self._tensor(step, name, np.array([text.encode()], object), metadata)

    @_harmless
    def write_histograms(self, step, arrays, num_buckets=None):
        metadata = histogram_metadata.create_summary_metadata("", "")
        for name, array in arrays.items():
            array = np.asarray(array, np.float64).reshape(-1)
            buckets = (num_buckets or {}).get(name) or 30
            counts, edges = np.histogram(array[np.isfinite(array)], bins=buckets)
            rows = np.stack([edges[:-1], edges[1:], counts], axis=1)  # [buckets, 3]
            self._tensor(step, name, rows, metadata)

    @_harmless
    def write_hparams(self, hparams: Mapping[str, Any]):
        self._event(summary=_hparams(hparams))

    @_harmless
    def write_videos(self, step, videos):
        raise TypeError("TensorBoard gets no videos from here")

    @_harmless
    def write_audios(self, step, audios, *, sample_rate):
        raise TypeError("TensorBoard gets no sound from here")

    @_harmless
    def flush(self):
        self.records.flush()

    @_harmless
    def close(self):
        self.records.close()


def _png(image: np.ndarray) -> bytes:
    """PNG of u8, or of float 0 to 1, [h w c]."""
    if image.dtype != np.uint8:
        if not np.issubdtype(image.dtype, np.floating):
            raise TypeError(f"an image of {image.dtype} is not u8 and not float")
        image = np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()
