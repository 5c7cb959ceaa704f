"""Four fake CPU devices, strict promotion of ranks, and every warning an error."""

import importlib.util
import mmap
import os
import pathlib
import tempfile

# programs of the tests are tiny: optimising them takes longer than running them
_XLA = {
    "--xla_force_host_platform_device_count": "4",
    "--xla_backend_optimization_level": "0",
    "--xla_llvm_disable_expensive_passes": "true",
    # with it, all-reduces that do not depend on each other start in another order on
    # each of the four devices, and on two cores may wait for each other for ever
    "--xla_cpu_enable_concurrency_optimized_scheduler": "false",
}
# LLVM IR without MLIR before it, and all of a program in one piece: half the time
_WHERE_THERE = {
    "--xla_cpu_use_fusion_emitters": "false",
    "--xla_cpu_parallel_codegen_split_count": "1",
}
# they begin first, so that at the end no worker waits long for the other
_SLOWEST = (
    "main launch no_dead_class vmap_loop loop models run_members num_seeds configs"
)
_CACHE = pathlib.Path(tempfile.gettempdir()) / f"jaxseg-tests-{os.getuid()}"


def _has(flag: str) -> bool:
    """Whether this jaxlib knows a flag of XLA; one that it does not know ends it.

    Names that XLA has given up are still in the library, but no texts of their own.
    """
    (folder,) = importlib.util.find_spec("jaxlib").submodule_search_locations
    largest = max(pathlib.Path(folder).glob("*.so"), key=lambda p: p.stat().st_size)
    with open(largest, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library:
            name = flag.removeprefix("--").encode()
            return library.find(b"\0" + name + b"\0") >= 0


_XLA |= {flag: value for flag, value in _WHERE_THERE.items() if _has(flag)}
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(f"{k}={v}" for k, v in _XLA.items())
os.environ.setdefault("JAXSEG_CACHE", str(_CACHE))
os.environ.setdefault("MPLBACKEND", "agg")

import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags, logging  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ["JAXSEG_CACHE"] + "/jit")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags


@pytest.fixture(autouse=True)
def _the_same_log():
    """Gives back how much is logged, which commands called by a test choose anew."""
    before = logging.get_verbosity(), logging.get_absl_logger().level
    yield
    logging.set_verbosity(before[0])
    logging.get_absl_logger().setLevel(before[1])


def pytest_collection_modifyitems(items):
    names = [f"test_{name}" for name in _SLOWEST.split()]
    items.sort(key=lambda i: names.index(i.path.stem) if i.path.stem in names else 99)
