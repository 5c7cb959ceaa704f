"""How far swin_upernet is from Hugging Face transformers, with random weights.

    pip install -e .[parity]
    python benchmarks/parity.py --size=tiny --pixels=512

Builds the library's own UperNetForSemanticSegmentation from its config (nothing is
downloaded), brings its checkpoint over by name, and prints the error of each output
and of the gradient of the image: the largest, and the root mean square, relative to
the same of the reference. The gradient jumps where a ReLU is within rounding of its
kink, so its row stands beside that of our own gradient when the image moves by 1e-6.
"""

import argparse
import functools
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "models")]

import make_golden  # noqa: E402

from jaxseg.models import _hf_names, swin_upernet  # noqa: E402


def reference(size, classes, pixels, batch):
    """(torch model, its checkpoint, image, cotangent, its answers in numpy)."""
    fields = swin_upernet.SIZES[size]
    model = make_golden.build(
        shape=(batch, 3, pixels, pixels),
        num_classes=classes,
        aux=True,
        embed_dim=fields["embed_dim"],
        width=512,
        aux_channels=256,
        swin=dict(
            depths=list(fields["depths"]),
            num_heads=list(fields["num_heads"]),
            window_size=fields["window"],
        ),
    )
    image = torch.randn(batch, 3, pixels, pixels)
    cotangent = torch.randn(batch, classes, pixels, pixels)
    start = time.perf_counter()
    answers = make_golden.answers(model, image, cotangent, (0, 1))
    seconds = time.perf_counter() - start
    print(f"transformers: forward and backward {seconds:.1f} s")
    checkpoint = make_golden.checkpoint(model)
    return checkpoint, image.numpy(), cotangent.numpy(), answers


def ours(checkpoint, size, classes, image, cotangent):
    """The same answers from jaxseg, channels first."""
    model = swin_upernet.Model(classes, size=size)
    image, cotangent = (x.transpose(0, 2, 3, 1) for x in (image, cotangent))
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), image)
    variables = _hf_names.from_hf(checkpoint, shapes)

    def objective(image):
        out, state = model.apply(
            variables,
            image,
            train=False,
            capture_intermediates=lambda module, _: module.name == "backbone",
            mutable=["intermediates"],
        )
        features = state["intermediates"]["backbone"]["__call__"][0]
        stages = {f"stage{i + 1}": f for i, f in enumerate(features)}
        return jnp.sum(out["logits"] * cotangent), {**stages, **out}

    gradient = jax.jit(jax.grad(objective, has_aux=True))
    start = time.perf_counter()
    program = gradient.lower(jnp.asarray(image)).compile()
    compiled = time.perf_counter()
    g, out = jax.block_until_ready(program(jnp.asarray(image)))
    print(
        f"jaxseg: compilation {compiled - start:.1f} s, "
        f"forward and backward {time.perf_counter() - compiled:.1f} s"
    )
    noise = 1e-6 * np.random.default_rng(0).normal(size=image.shape)
    moved, _ = program(jnp.asarray(image + noise, jnp.float32))
    out |= {"image_gradient": g, "moved_gradient": moved}
    return {k: np.moveaxis(v, -1, 1) for k, v in out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="tiny", choices=list(swin_upernet.SIZES))
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--classes", type=int, default=150)
    args = parser.parse_args()
    torch.manual_seed(0)
    checkpoint, image, cotangent, theirs = reference(
        args.size, args.classes, args.pixels, args.batch
    )
    mine = ours(checkpoint, args.size, args.classes, image, cotangent)
    theirs["moved_gradient"] = mine["image_gradient"]
    print(f"Swin {args.size}, {image.shape}: relative error, largest and r.m.s.")
    for name in sorted(mine):
        error, scale = mine[name] - theirs[name], theirs[name]
        largest = np.abs(error).max() / np.abs(scale).max()
        rms = (np.square(error).mean() / np.square(scale).mean()) ** 0.5
        print(f"  {name:<16} {error.shape!s:<22} {largest:.1e} {rms:.1e}")


if __name__ == "__main__":
    main()
