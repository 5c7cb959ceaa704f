"""Sums the numbers of the steps of an epoch into a row of history.csv."""

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxseg.errors import NotFinite

_SHOWS = ("shows/", "shows_image/")  # images that show a class of pixels, of images


class EpochSums:
    """Sums over the steps of an epoch; a step's numbers are read one step later.

    Reading them at once would make the host wait for the device.
    """

    def __init__(self, saved: dict | None = None):
        saved = saved or {"sums": {}, "steps": 0, "bad": 0, "seconds": 0.0}
        self.sums, self.steps = dict(saved["sums"]), saved["steps"]
        self.bad, self.seconds = saved["bad"], saved["seconds"]
        self.waited, self.busy_since = 0.0, time.monotonic()
        self.loss = None
        self._unwritten = 0  # the step that was read last, until `due` has named it
        self._last: dict[str, float] = {}
        self._pending = None
        self._run: list[np.ndarray] = []  # indices of the bad steps in a row

    def add(
        self,
        numbers: dict[str, jax.Array],
        index: np.ndarray,
        waited: float,
        *,
        step: int = 0,
    ):
        """Notes a step that was just started, and reads the one before."""
        self._read()
        self._pending = (numbers, index, step)
        self.waited += waited

    def _read(self) -> None:
        if self._pending is None:
            return
        numbers, index, self._unwritten = self._pending
        self._pending = None
        self._last = {k: float(v) for k, v in jax.device_get(numbers).items()}
        self.loss = self._last["loss"]
        self.steps += 1
        if self._last["bad"]:
            self.bad += 1
            self._run.append(index)
        else:
            self._run = []
        for name, value in self._last.items():
            fed = name in ("examples", "positives") or name.startswith(_SHOWS)
            if name not in ("bad", "bad_run") and (fed or not self._last["bad"]):
                self.sums[name] = self.sums.get(name, 0.0) + value

    def check(self, allowed: int, ids: Sequence[str]) -> None:
        """Raises NotFinite, with the ids, after `allowed` bad steps in a row."""
        if self._last.get("bad_run", 0) >= max(1, allowed):
            batches = "; ".join(
                f"[{', '.join(ids[i] for i in index)}]" for index in self._run[-3:]
            )
            raise NotFinite(
                f"{self._last['bad_run']:.0f} steps in a row had a loss or gradient "
                "that is not finite; nothing of them was kept. The last batches were "
                f"{batches}. "
                "Lower config.optim.learning_rate, or look at these images."
            )

    def wait_share(self) -> float:
        """Share of the time spent waiting for data since the epoch began."""
        return min(1.0, self.waited / max(1e-9, time.monotonic() - self.busy_since))

    def due(self, every: int) -> int:
        """The step that was read last, once, if it is a multiple of `every`; else 0."""
        step, self._unwritten = self._unwritten, 0
        return 0 if step % every else step

    def latest(self, rate: Any) -> dict[str, float]:
        """Scalars of the step that was read last; `rate` is its learning rate."""
        out = {f"step/{k}": v for k, v in self._last.items()}
        return out | {"step/learning_rate": float(rate)}

    def flush(self) -> dict:
        """Everything so far, as a checkpoint keeps it."""
        self._read()
        seconds = self.seconds + time.monotonic() - self.busy_since
        saved = {"sums": self.sums, "steps": self.steps, "bad": self.bad}
        return {**saved, "seconds": seconds}

    def row(
        self,
        number: int,
        done: int,
        plan: Any,
        rate: Any,
        classes: Sequence[str],
        image_classes: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The row of history.csv of epoch `number`; starts the next epoch.

        `classes` are the names of the classes, background first, `image_classes` those
        of the classes of whole images.
        """
        saved, waited = self.flush(), self.wait_share()
        sums, good = saved["sums"], max(1, saved["steps"] - saved["bad"])
        row = {
            "epoch": number + 1,
            "step": done,
            "images_seen": done * plan.batch_size,
            "learning_rate": float(rate(done - 1)),
            "share_target": plan.shares[number],
            "share_realised": sums["positives"] / sums["examples"],
        }
        for c, name in enumerate(classes):
            if f"shows/{c}" in sums:
                share = sums[f"shows/{c}"] / sums["examples"]
                row[f"share_realised/{name}"] = share
        for m, name in enumerate(image_classes):
            if f"shows_image/{m}" in sums:
                share = sums[f"shows_image/{m}"] / sums["examples"]
                row[f"image_share_realised/{name}"] = share
        terms = sorted(name for name in sums if name.startswith("loss/"))
        for name in ("loss", *terms, "grad_norm"):
            row[name] = sums[name] / good if name in sums else None
        if "count/tp" in sums:  # of the images as they were fed, while learning
            right = 2 * sums["count/tp"]
            total = right + sums["count/fp"] + sums["count/fn"]
            row["train/dice_pooled"] = right / total if total else None
        seconds = max(1e-9, saved["seconds"])
        row |= {
            "skipped_steps": saved["bad"],
            "seconds": seconds,
            "images_per_second": saved["steps"] * plan.batch_size / seconds,
            "data_wait_share": waited,
        }
        loss, bad = self.loss, self._run
        self.__init__()
        self.loss, self._run = loss, bad
        return row
