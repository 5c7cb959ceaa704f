"""Prints how far a run is: a bar by rich on a terminal, plain lines elsewhere."""

import collections
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from absl import logging
from rich import console, progress

_CLEAR = "\r\x1b[K"  # to the first column, and erase the line


def describe(
    *, steps_per_epoch: int, total_steps: int, warmup_steps: int, images_seen: int
) -> str:
    """One line for before the first step: steps an epoch, steps in all, images.

    Whichever of steps and epochs was given, both are said.
    """
    epochs = total_steps / steps_per_epoch
    return (
        f"{steps_per_epoch:,} steps per epoch, {total_steps:,} steps in all "
        f"({epochs:.4g} {'epoch' if epochs == 1 else 'epochs'}, {warmup_steps:,} steps "
        f"of warm-up), {images_seen:,} images seen at the end"
    )


def duration(seconds: float) -> str:
    """ "45s", "12m05s", "3h07m" or "2d04h"."""
    seconds = int(round(seconds))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days}d{hours % 24:02d}h"
    if hours:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{minutes}m{seconds % 60:02d}s" if minutes else f"{seconds}s"


class Progress:
    """The line of one run; process 0 has it `enabled`.

    On a terminal a bar is redrawn at most five times a second; elsewhere a plain
    line comes every `seconds` (30), every `steps` if given, and at the last step.
    Rates leave out the time before the first update, which compiles. A stream that
    breaks ends the line, never the run.
    """

    def __init__(
        self,
        total_steps: int,
        images_per_step: int,
        *,
        stream: TextIO | None = None,
        enabled: bool = True,
        seconds: float = 30.0,
        steps: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._total, self._images = total_steps, images_per_step
        self._stream = sys.stderr if stream is None else stream
        self._live = bool(getattr(self._stream, "isatty", lambda: False)())
        self._live &= os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
        self._bar = None  # of rich, once it is drawn
        self._every = 0.2 if self._live else seconds
        self._steps, self._clock = steps, clock
        self._enabled = enabled
        self._first = None  # (time, step) of the first update
        self._drawn = None  # (time, step) of the last line
        self._recent = collections.deque(maxlen=32)  # (time, step), for images/s
        if self._live and enabled:
            logging.get_absl_logger().addFilter(self._make_room)

    def update(
        self,
        step: int,
        *,
        loss: Any = None,
        data_wait: float | None = None,
        images_per_second: float | None = None,
    ) -> None:
        """Tells that `step` steps are done; draws when it is time to.

        `loss` is read only when drawn (reading a device array waits for its step).
        `data_wait` is the share of time spent waiting for data, 0 to 1.
        `images_per_second` replaces the rate measured here.
        """
        if not self._enabled:
            return
        now = self._clock()
        if self._first is None:
            self._first = self._drawn = (now, step)
        self._recent.append((now, step))
        waited, done = now - self._drawn[0], step - self._drawn[1]
        due = self._steps is not None and not self._live and done >= self._steps
        if not (due or waited >= self._every or step >= self._total):
            return
        self._drawn = (now, step)
        rate = images_per_second or self._rate(self._recent[0], now, step)
        parts = [f"step {step:,}/{self._total:,} ({step / self._total:.0%})"]
        parts += [] if loss is None else [f"loss {float(loss):.4g}"]
        parts += [f"{rate:.4g} images/s"] if rate else []
        parts += [] if data_wait is None else [f"data wait {data_wait:.0%}"]
        pace = self._rate(self._first, now, step) / max(self._images, 1)
        left = max(self._total - step, 0)
        parts += [f"ETA {duration(left / pace)}"] if pace and left else []
        self._write(step, "  ".join(parts))

    def close(self) -> None:
        """Leaves the last line where it stands."""
        if self._live and self._enabled:
            logging.get_absl_logger().removeFilter(self._make_room)
            with contextlib.suppress(OSError, ValueError):
                if self._bar is not None:
                    self._bar.stop()
        self._enabled = False

    def _rate(self, since, now, step) -> float:
        """Images per second from `since` to now; 0 when nothing can be said."""
        seconds = now - since[0]
        return (step - since[1]) * self._images / seconds if seconds > 0 else 0.0

    def _write(self, step, line):
        try:
            if self._live:
                self._draw(step, line)
            else:
                self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._enabled = False

    def _draw(self, step, line):
        """Draws the bar anew, as wide as the terminal is now; it never wraps."""
        if self._bar is None:
            self._bar = progress.Progress(
                progress.BarColumn(bar_width=20),
                progress.TextColumn("{task.description}", markup=False),
                console=console.Console(file=self._stream, force_terminal=True),
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task(line, total=self._total, completed=step)
            self._bar.start()
        task = self._bar.task_ids[0]
        self._bar.update(task, completed=step, description=line, refresh=True)

    def _make_room(self, record) -> bool:
        """A filter that drops nothing: a log line starts on an empty line."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(_CLEAR)
            self._stream.flush()
        return True
