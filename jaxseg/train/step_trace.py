"""Records where the time of some steps goes, with the profiler of JAX.

The trace lies in profile/ of the run directory, as files that xprof, TensorBoard and
Perfetto open (https://docs.jax.dev/en/latest/profiling.html). A trace that cannot be
written is said, and never stops the training.
"""

import contextlib
import pathlib
from typing import Any

import jax
from absl import logging

from jaxseg.config.profiled_steps import Steps
from jaxseg.run_directory import files


class StepTrace:
    """Records the steps of a run that --profile names; without them does nothing.

    Call `begin` before the batch of a step is taken, `end` after it, `close` at last.
    Only process 0 records, and what it records are its own devices.
    """

    def __init__(self, steps: Steps | None, workdir: pathlib.Path):
        main = jax.process_index() == 0
        self._steps = steps if main else None
        self._folder = workdir / files.PROFILE
        self._first: int | None = None  # the step that is recorded first, once it is
        self._last = 0  # the last step that ended while recording
        self._over = False

    def announce(self, start: int, total: int) -> None:
        """Says what of the steps lies ahead of a run at `start` of `total` steps."""
        if self._steps is None:
            return
        first, last = self._steps
        name = f"--profile={first}:{last}"
        if last <= start:
            logging.warning(
                "%s: the run goes on after step %d, so none of these steps comes; "
                "no trace is written.",
                name,
                start,
            )
        elif first > total:
            logging.warning(
                "%s: training ends with step %d, before step %d; no trace is written.",
                name,
                total,
                first,
            )
        elif first <= start or last > total:
            begin, end = max(first, start + 1), min(last, total)
            logging.warning(
                "%s: of these, steps %d to %d come and are recorded.", name, begin, end
            )

    def begin(self, step: int, state: Any) -> None:
        """Begins to record where `step` is the first; `state` is that before it."""
        if self._steps is None or self._over or self._first is not None:
            return
        if not self._steps.first <= step <= self._steps.last:
            return
        jax.block_until_ready(state)  # else the steps before would be recorded as well
        try:
            jax.profiler.start_trace(self._folder)
        except Exception as error:  # of the file system, or of a profiler in use
            self._fail(error)
            return
        self._first = step

    def named(self, step: int) -> contextlib.AbstractContextManager:
        """A context under which a trace shows what runs as that step."""
        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def end(self, step: int, state: Any) -> None:
        """Writes the trace where `step` is the last; `state` is that after it."""
        if self._first is None or self._over:
            return
        self._last = step
        if step >= self._steps.last:
            jax.block_until_ready(state)
            self._write()

    def close(self) -> None:
        """Writes what was recorded where training ended before the last step."""
        if self._first is not None and not self._over:
            self._write()

    def _write(self) -> None:
        self._over = True
        try:
            jax.profiler.stop_trace()
        except Exception as error:  # of the file system
            self._fail(error)
            return
        logging.info(
            "the time of steps %d to %d is recorded in %s: look at it with "
            "`pip install xprof` and `xprof --logdir %s`, or open the "
            "*.trace.json.gz in it at https://ui.perfetto.dev",
            self._first,
            self._last,
            self._folder,
            self._folder,
        )

    def _fail(self, error: Exception) -> None:
        self._over = True
        logging.warning(
            "the trace of --profile could not be written to %s (%s); training goes on.",
            self._folder,
            " ".join(str(error).split()) or repr(error),
        )
