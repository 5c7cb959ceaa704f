"""Says how the programs that run for long are compiled.

On a CPU, XLA hands convolutions to YNNPACK, and that of JAX 0.10 computes some of them
in one thread: maps of 64x64 with 64 channels, of 128x128 with 32. Without it Eigen has
them, in all threads. With JAX 0.12 YNNPACK uses all threads, and is left alone.
Figures: tests/benchmarks/README.md, "Speed of the models".
"""

import jax

from jaxseg import cores

# what stays with YNNPACK: matrix products and sums
_WITHOUT_CONVOLUTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    )
}


def options() -> dict[str, str] | None:
    """`compiler_options` of `jax.jit` for the devices there are; None for none."""
    if jax.default_backend() != "cpu" or jax.__version_info__ >= (0, 11):
        return None
    return dict(_WITHOUT_CONVOLUTIONS) if cores.usable() > 1 else None
