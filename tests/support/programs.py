"""What a traced program does. Its text will not do: JAX 0.12 prints a part once."""

import jax


def convolutions(fn, *arguments) -> list[int]:
    """The feature groups of every convolution that tracing `fn` gives, in order."""
    program = fn if hasattr(fn, "trace") else jax.jit(fn)
    return list(_groups(program.trace(*arguments).jaxpr.jaxpr))


def _groups(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation.params["feature_group_count"]
        for value in jax.tree.leaves(list(equation.params.values())):
            inside = getattr(value, "jaxpr", value)
            if hasattr(inside, "eqns"):
                yield from _groups(inside)
