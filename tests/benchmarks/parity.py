"""How far our models are from Hugging Face transformers, with random weights.

    pip install -e .[parity]
    python tests/benchmarks/parity.py --size=tiny --pixels=512
    python tests/benchmarks/parity.py --size=resnet50 --pixels=512

Builds the library's own UperNetForSemanticSegmentation or ResNetModel from its config
(nothing is downloaded), brings its checkpoint over by name, and prints the error of
each output and of the gradient of the image: the largest, and the root mean square,
relative to the same of the reference. The gradient jumps where a ReLU is within
rounding of its kink, so its row stands beside that of our own gradient when the image
moves by 1e-6.
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

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import make_golden, make_golden_encoders

from jaxseg.models import _resnet, resnet_unet, swin_upernet
from jaxseg.weights import into_model

RESNET = "resnet50"


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
    variables, _ = into_model.apply(
        shapes, checkpoint, model_name="swin_upernet", source="transformers"
    )

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

    return answers(objective, image)


def answers(objective, image):
    """What `objective` gives beside its value, and its gradient; channels first."""
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


def resnet(pixels, batch):
    """(image, our answers, those of Hugging Face) of the five maps of a ResNet-50."""
    blocks = list(_resnet.BLOCKS[50])
    fields = dict(blocks=blocks, bottleneck=True, width=64, channels=3)
    model, maps = make_golden_encoders.resnet(**fields)
    make_golden_encoders.randomise(model)
    model.eval()
    image = torch.randn(batch, 3, pixels, pixels, requires_grad=True)
    found = maps(image)
    cotangents = [torch.randn_like(m) / m.detach().std() for m in found]
    value = sum((m * c).mean() for m, c in zip(found, cotangents, strict=True))
    theirs = {f"map{i}": m.detach().numpy() for i, m in enumerate(found)}
    theirs["image_gradient"] = torch.autograd.grad(value, image)[0].numpy()
    image = image.detach().numpy().transpose(0, 2, 3, 1)
    cotangents = [c.numpy().transpose(0, 2, 3, 1) for c in cotangents]
    named = {n: t.numpy() for n, t in model.state_dict().items()}
    named = make_golden_encoders.torchvision_names(named)

    whole = resnet_unet.Model(2, depth=50)
    init = functools.partial(whole.init, train=False)
    variables = jax.jit(init)(jax.random.key(0), image[:, :64, :64])
    variables, _ = into_model.apply(
        variables, named, model_name="resnet_unet", source="ResNetModel"
    )
    variables = {kind: tree["encoder"] for kind, tree in variables.items()}
    encoder = _resnet.ResNet(tuple(blocks), bottleneck=True)

    def objective(image):
        maps = encoder.apply(variables, image, train=False)
        pairs = zip(maps, cotangents, strict=True)
        out = {f"map{i}": m for i, m in enumerate(maps)}
        return sum(jnp.mean(m * c) for m, c in pairs), out

    return image, answers(objective, image), theirs


def swin(size, pixels, batch, classes):
    """(image, our answers, those of Hugging Face) of a UPerNet with a Swin backbone."""
    checkpoint, image, cotangent, theirs = reference(size, classes, pixels, batch)
    return image, ours(checkpoint, size, classes, image, cotangent), theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [*swin_upernet.SIZES, RESNET]
    parser.add_argument("--size", default="tiny", choices=sizes)
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--classes", type=int, default=150)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.size == RESNET:
        image, mine, theirs = resnet(args.pixels, args.batch)
    else:
        image, mine, theirs = swin(args.size, args.pixels, args.batch, args.classes)
    theirs["moved_gradient"] = mine["image_gradient"]
    print(f"{args.size}, {image.shape}: relative error, largest and r.m.s.")
    for name in sorted(mine):
        error, scale = mine[name] - theirs[name], theirs[name]
        largest = np.abs(error).max() / np.abs(scale).max()
        rms = (np.square(error).mean() / np.square(scale).mean()) ** 0.5
        print(f"  {name:<16} {error.shape!s:<22} {largest:.1e} {rms:.1e}")


if __name__ == "__main__":
    main()
