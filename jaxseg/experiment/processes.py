"""Joins the processes of a run before any device is touched, and finds the cache."""

import os
import pathlib

import jax
from absl import logging

from jaxseg.errors import ConfigError

# they tell every file they open and every backend that is not there
_CHATTY = ("dataset_info", "dataset_builder", "xla_bridge")


def start(*, coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Joins the other processes, if there are any, and opens the compilation cache.

    Flags come first, then JAXSEG_COORDINATOR, JAXSEG_PROCESSES and JAXSEG_PROCESS (set
    by `launch/local.py`), then what JAX finds out by itself from SLURM.
    """
    logging.get_absl_logger().addFilter(lambda record: record.module not in _CHATTY)
    coordinator = coordinator or os.environ.get("JAXSEG_COORDINATOR", "")
    if coordinator:
        processes = processes or int(os.environ.get("JAXSEG_PROCESSES", 0))
        process = process if process >= 0 else int(os.environ.get("JAXSEG_PROCESS", -1))
        if not 0 <= process < processes:
            raise ConfigError(
                f"process {process} of {processes} cannot join {coordinator}; give "
                "--num_processes and --process_id, counted from 0."
            )
        jax.distributed.initialize(coordinator, processes, process)
    elif int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:
        jax.distributed.initialize()
    if jax.process_count() > 1:
        logging.info("process %d of %d", jax.process_index(), jax.process_count())
    if not jax.config.jax_compilation_cache_dir:
        cache = cache_dir() / "jit"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def is_main() -> bool:
    """Whether this process writes and prints."""
    return jax.process_index() == 0


def cache_dir() -> pathlib.Path:
    """Where demonstration data and compiled programs are kept: $JAXSEG_CACHE."""
    default = pathlib.Path.home() / ".cache" / "jaxseg"
    return pathlib.Path(os.environ.get("JAXSEG_CACHE", default)).absolute()
