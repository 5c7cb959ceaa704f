"""Joins the processes of a run before any device is touched, and finds the cache."""

import logging as python_logging
import os
import pathlib

import jax
from absl import logging

from jaxseg.devices import cluster, peers
from jaxseg.errors import PeersMissing
from jaxseg.run_directory import mirror


def start(place: cluster.Place | None = None, *, timeout: float = 0) -> None:
    """Joins the other processes, if there are any, and opens the compilation cache.

    `place` is this process's own, by default what the environment says; `timeout` is
    the seconds until all must have come, by default those of the environment. Raises
    PeersMissing when they do not come, ConfigError for settings that cannot be.
    """
    decided = place is not None  # and said, by who decided it
    place = place or cluster.place(os.environ)
    if place.processes > 1 and not jax.distributed.is_initialized():
        if not decided:
            logging.info("%s", cluster.line(place))
        _join(place, timeout or cluster.timeout(os.environ))
    if not jax.config.jax_compilation_cache_dir:
        cache = cache_dir() / "jit"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _join(place: cluster.Place, timeout: float) -> None:
    python_logging.getLogger("jax._src.distributed").setLevel(python_logging.WARNING)
    address = peers.join(place, timeout=timeout, silence=cluster.silence(os.environ))
    if any("_proxy" in name.lower() for name in os.environ):
        # gRPC would ask a proxy for the way to a host beside this one, and wait
        around = [os.environ.get("no_grpc_proxy", ""), address.rpartition(":")[0]]
        os.environ["no_grpc_proxy"] = ",".join(filter(None, around))
        jax.config.update("jax_check_proxy_envs", False)
    try:
        jax.distributed.initialize(
            address,
            place.processes,
            place.process,
            local_device_ids=place.devices,
            cluster_detection_method="deactivate",
            initialization_timeout=max(1, round(timeout)),
            coordinator_bind_address=address if place.process == 0 else None,
        )
    except RuntimeError as error:
        raise PeersMissing(
            f"all {place.processes} processes came, but JAX could not join process "
            f"{place.process} with {place.coordinator}: {error}"
        ) from error


def is_main() -> bool:
    """Whether this process writes and prints."""
    return jax.process_index() == 0


def cache_dir() -> pathlib.Path:
    """Where prepared folders, programs and fitted images are kept: $JAXSEG_CACHE."""
    return mirror.cache_dir()
