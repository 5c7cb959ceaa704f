"""Convolutions stay out of YNNPACK where it computes them in one thread."""

import jax
import jax.numpy as jnp
import pytest

from jaxseg.devices import compiler


def _compiled(options):
    dimensions = ("NHWC", "HWIO", "NHWC")

    def run(image, kernel):
        return jax.lax.conv_general_dilated(
            image, kernel, (1, 1), "SAME", dimension_numbers=dimensions
        )

    shapes = jnp.ones((2, 64, 64, 64)), jnp.ones((3, 3, 64, 64))
    program = jax.jit(run, compiler_options=options).lower(*shapes).compile()
    return program.as_text(), program(*shapes)


@pytest.mark.parametrize(
    ("version", "cores", "backend", "without"),
    [
        ((0, 10, 2), 2, "cpu", True),
        ((0, 10, 2), 1, "cpu", False),
        ((0, 12, 0), 2, "cpu", False),
        ((0, 10, 2), 2, "gpu", False),
    ],
)
def test_only_for_several_threads_of_a_cpu_with_that_release(
    monkeypatch, version, cores, backend, without
):
    monkeypatch.setattr(jax, "__version_info__", version)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(compiler.cores, "usable", lambda: cores)
    assert (compiler.options() is not None) == without


def test_the_option_moves_convolutions_and_changes_no_result(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 2))
    monkeypatch.setattr(compiler.cores, "usable", lambda: 2)
    text, answer = _compiled(compiler.options())
    assert "ynn" not in text
    _, wanted = _compiled(None)
    assert jnp.allclose(answer, wanted, rtol=1e-6)
