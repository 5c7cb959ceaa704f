"""Images a second of every model: forward pass and training step, beside PyTorch.

    python tests/benchmarks/models.py --models=unet,swin_upernet --size=128x128

Prints a Markdown table. With the extra [parity] (torch, transformers) four models stand
beside their equals in PyTorch: U-Nets beside those of `torch_models.py`, `swin_upernet`
beside the UperNetForSemanticSegmentation of Hugging Face, each in the faster of its two
layouts of memory (channels_last is one). Same weights in number, same images, float32,
cross-entropy and AdamW, all cores. The two take turns; a ratio is that
of one turn of each, and the table has the median of the ratios with their quartiles,
since on a shared machine speeds drift more between minutes than between neighbours.
Where other programs run, start it under `taskset -c 0`: a library whose threads wait
for each other suffers more from neighbours than one whose threads do not.
"""

import argparse
import contextlib
import datetime
import functools
import os
import pathlib
import statistics
import sys
import time

import jax
import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from jaxseg import lookup
from jaxseg.devices import compiler
from jaxseg.inference import forward
from jaxseg.train_step import (
    optimizer,
    state,
    step,
)

with contextlib.suppress(ImportError):  # the extra [parity]
    import torch

CLASSES, AUX_WEIGHT, RATE = 2, 0.4, 1e-4
EQUALS = ("unet", "attention_unet", "resnet_unet", "swin_upernet")  # in PyTorch
FIELDS = {"swin_upernet": {"size": "tiny"}, "resnet_unet": {"depth": 34}}


def ours(name, image, mask):
    """(parameters, {"forward": call, "step": call}) of a model of jaxseg."""
    module = lookup.find("models", name)
    model = module.Model(num_classes=CLASSES, **FIELDS.get(name, {}))
    tx = optimizer.make(lambda count: RATE, weight_decay=0.05, clip_norm=0.0)
    init = dict(model=model, tx=tx, image_shape=image.shape[1:], ema=False)
    now = jax.jit(functools.partial(state.init, **init))(jax.random.key(0))
    batch = {"image": image, "mask": mask, "weight": np.ones(len(image), np.float32)}
    batch["label"] = np.zeros(len(image), np.int32)
    batch = jax.device_put(batch)
    settings = step.Settings(
        seed=0,
        model=model,
        losses={"cross_entropy": (lookup.find("losses", "cross_entropy").loss, 1.0)},
        aux_weight=AUX_WEIGHT,
        tx=tx,
        augment=lambda image, mask, key: (image, mask),
        augment_options={},
        normalise=lambda image: image,
        total_steps=1000,
        accumulate=1,
        ema=0.0,
    )
    train = functools.partial(step.train_step, settings=settings)
    program = functools.partial(jax.jit, compiler_options=compiler.options())
    train = program(train, donate_argnums=0)
    predict = functools.partial(forward.predict, model=model, normalise=lambda x: x)
    predict = program(predict)
    box = [now]
    variables = jax.tree.map(jax.numpy.copy, state.evaluated(now))

    def advance():
        box[0], numbers = train(box[0], batch)
        jax.block_until_ready((box[0], numbers))

    def forward_pass():
        jax.block_until_ready(predict(variables, batch))

    return state.count(now.params), {"forward": forward_pass, "step": advance}


def theirs(name, image, mask, bfloat16=False):
    """The same of PyTorch; None where there is no equal or no PyTorch.

    `bfloat16` computes under autocast.

    Each call is in the faster of its two layouts of memory, by one turn of each.
    """
    if "torch" not in globals() or name not in EQUALS:
        return None
    device = {"cpu": "cpu", "gpu": "cuda"}.get(jax.default_backend())
    if device is None or (device == "cuda" and not torch.cuda.is_available()):
        return None
    layouts = (torch.contiguous_format, torch.channels_last)
    both = [
        _in_layout(name, image, mask, device, layout, bfloat16) for layout in layouts
    ]
    calls = {}
    for kind in ("forward", "step"):
        seconds = []
        for _, side in both:
            side[kind]()  # sets up
            began = time.perf_counter()
            side[kind]()
            seconds.append(time.perf_counter() - began)
        calls[kind] = both[int(np.argmin(seconds))][1][kind]
    return both[0][0], calls


def _in_layout(name, image, mask, device, layout, bfloat16):
    """(parameters, {"forward": call, "step": call}) in one layout of memory."""
    model, losses = equal(name, image.shape[-1])
    model = model.to(device).to(memory_format=layout)
    x = torch.tensor(image.transpose(0, 3, 1, 2).copy()).to(device)
    x = x.to(memory_format=layout)
    labels = torch.tensor(mask.astype(np.int64)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    def advance():
        model.train()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            loss = losses(model, x.float() / 255, labels)
        loss.backward()
        optimizer.step()
        wait()

    def forward_pass():
        model.eval()
        cast = torch.autocast(device, torch.bfloat16, enabled=bfloat16)
        with torch.inference_mode(), cast:
            out = model(x.float() / 255)
            getattr(out, "logits", out).softmax(1)
        wait()

    return count(model), {"forward": forward_pass, "step": advance}


def count(model):
    """Its parameters, without a last norm of Hugging Face's whose result none reads."""
    used = [p for n, p in model.named_parameters() if "swin.layernorm" not in n]
    return sum(p.numel() for p in used)


def equal(name, channels):
    """(the network of PyTorch that equals a model of jaxseg, its loss)."""
    import torch_models

    if name == "swin_upernet":
        return _hugging_face(channels)
    fields = lookup.find("models", name).Model(CLASSES, **FIELDS.get(name, {}))

    def losses(model, x, labels):
        return torch.nn.functional.cross_entropy(model(x), labels, ignore_index=255)

    return torch_models.build(name, fields, CLASSES, channels), losses


def _hugging_face(channels):
    """(UPerNet-Swin of the same size, its own loss with the auxiliary head)."""
    from support import make_golden

    from jaxseg.models import swin_upernet

    fields = swin_upernet.SIZES[FIELDS["swin_upernet"]["size"]]
    swin = dict(
        depths=list(fields["depths"]),
        num_heads=list(fields["num_heads"]),
        window_size=fields["window"],
    )
    model = make_golden.build(
        shape=(1, channels, 32, 32),
        num_classes=CLASSES,
        aux=True,
        swin=swin,
        embed_dim=fields["embed_dim"],
        width=512,
        aux_channels=256,
    )
    return model, lambda model, x, labels: model(x, labels=labels).loss


def measure(ours, theirs, *, pairs, seconds):
    """Seconds a call, [pairs] for ours and for theirs (None without), turn by turn."""
    sides = [call for call in (ours, theirs) if call is not None]
    counts = []
    for call in sides:
        call()  # compiles, or sets up
        began = time.perf_counter()
        call()
        counts.append(max(1, round(seconds / (time.perf_counter() - began))))
    found = [[] for _ in sides]
    for turn in range(pairs):
        order = list(zip(sides, counts, found, strict=True))
        for call, count, times in order if turn % 2 == 0 else order[::-1]:
            began = time.perf_counter()
            for _ in range(count):
                call()
            times.append((time.perf_counter() - began) / count)
    return found[0], found[1] if theirs else None


def row(name, image, mask, *, pairs, seconds, bfloat16):
    """A line of the table."""
    count, mine = ours(name, image, mask)
    other = theirs(name, image, mask, bfloat16)
    if other and other[0] != count:
        raise SystemExit(f"{name}: {count:,} parameters here, {other[0]:,} in PyTorch.")
    words = [name, f"{count / 1e6:.1f} M"]
    for kind in ("forward", "step"):
        them = other and other[1][kind]
        a, b = measure(mine[kind], them, pairs=pairs, seconds=seconds)
        words.append(f"{len(image) / statistics.median(a):.2f}")
        if b is None:
            words += ["-", "-"]
            continue
        low, middle, high = np.quantile(np.array(b) / np.array(a), (0.25, 0.5, 0.75))
        words.append(f"{len(image) / statistics.median(b):.2f}")
        words.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    return f"| {' | '.join(words)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(lookup.names("models")))
    parser.add_argument("--size", default="256x256", help="height x width")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one turn")
    words = "PyTorch computes in bfloat16, jaxseg in float32"
    parser.add_argument("--torch_bfloat16", action="store_true", help=words)
    args = parser.parse_args()
    height, width = map(int, args.size.split("x"))
    cores = len(os.sched_getaffinity(0))
    versions = f"jax {jax.__version__}"
    if "torch" in globals():
        torch.manual_seed(0)
        torch.set_num_threads(cores)
        versions += f", torch {torch.__version__}"
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (args.batch, height, width, 3), np.uint8)
    mask = rng.integers(0, CLASSES, (args.batch, height, width), np.uint8)
    print(
        f"{args.batch} images of {args.size}x3, float32"
        f"{' (PyTorch: bfloat16)' * args.torch_bfloat16},"
        f" {jax.devices()[0].device_kind} with {cores} core(s), {versions},"
        f" {datetime.date.today()}; images a second,"
        f" medians of {args.pairs} turns; ratio: PyTorch's time over ours (quartiles)\n"
    )
    print("| model | parameters | forward | PyTorch | ratio | step | PyTorch | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name in args.models.split(","):
        options = {"pairs": args.pairs, "seconds": args.seconds}
        line = row(name, image, mask, bfloat16=args.torch_bfloat16, **options)
        print(line, flush=True)


if __name__ == "__main__":
    main()
