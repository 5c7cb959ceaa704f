"""Writes tests/support/golden/{resnet_*,efficientnet_lite}.npz with PyTorch.

Run it once, after `pip install -e .[parity]` and `pip install --no-deps
efficientnet-lite-pytorch==0.1.0`: python tests/support/make_golden_encoders.py
Weights are random, so nothing is downloaded. Each file holds a tiny network: its
checkpoint (prefix "checkpoint/") under the names that published files use, an image,
and what the network answers: maps, the gradient of the image, and one step of training.
Computed in float64, so that no ReLU near its kink decides about equality.
"""

import json
import pathlib
import re

import numpy as np
import torch
import transformers

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
RESNETS = {
    "resnet_basic": dict(blocks=[1, 2, 1, 2], bottleneck=False, width=4, channels=1),
    "resnet_bottleneck": dict(
        blocks=[2, 1, 2, 1], bottleneck=True, width=3, channels=3
    ),
}
EFFICIENTNET = dict(width=0.1, depth=0.4, num_classes=3, size=[32, 64])


def resnet(*, blocks, bottleneck, width, channels):
    """(network, function of an image that returns the five maps)."""
    factor = 4 if bottleneck else 1
    config = transformers.ResNetConfig(
        num_channels=channels,
        embedding_size=width,
        hidden_sizes=[width * factor * 2**i for i in range(4)],
        depths=blocks,
        layer_type="bottleneck" if bottleneck else "basic",
    )
    model = transformers.ResNetModel(config)

    stem = []
    model.embedder.embedder.register_forward_hook(lambda *a: stem.append(a[-1]))

    def maps(image):
        out = model(image, output_hidden_states=True)
        return [stem.pop(), *out.hidden_states[1:]]

    return model, maps


def torchvision_names(arrays):
    """Hugging Face's ResNet checkpoint under the names of torchvision's."""
    rules = [
        (r"embedder\.embedder\.convolution", lambda m: "conv1"),
        (r"embedder\.embedder\.normalization", lambda m: "bn1"),
        (
            r"encoder\.stages\.(\d)\.layers\.(\d)",
            lambda m: f"layer{int(m[1]) + 1}.{m[2]}",
        ),
        (r"\.shortcut\.convolution", lambda m: ".downsample.0"),
        (r"\.shortcut\.normalization", lambda m: ".downsample.1"),
        (r"\.layer\.(\d)\.convolution", lambda m: f".conv{int(m[1]) + 1}"),
        (r"\.layer\.(\d)\.normalization", lambda m: f".bn{int(m[1]) + 1}"),
    ]
    renamed = {}
    for name, array in arrays.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = array
    return renamed


def efficientnet(*, width, depth, num_classes, size):
    """(network, function of an image that returns five maps and the logits)."""
    from efficientnet_lite_pytorch import EfficientNet  # no other use needs it

    model = EfficientNet.from_name(
        "efficientnet-lite0",
        width_coefficient=width,
        depth_coefficient=depth,
        image_size=size,
        num_classes=num_classes,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    )

    def maps(image):
        x = model._swish(model._bn0(model._conv_stem(image)))
        all_maps = []
        for block in model._blocks:
            x = block(x)
            all_maps.append(x)
        # The last of each size, coarse to fine.
        last = {tuple(x.shape[2:]): x for x in all_maps}
        x = model._swish(model._bn1(model._conv_head(x)))
        return [*last.values(), model._fc(x.mean((2, 3)))]

    return model, maps


@torch.no_grad()
def randomise(model):
    """Weights of a scale that keeps all parts of the answer alive."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_floating_point():
            continue
        noise = torch.randn_like(tensor)
        if name.endswith("running_var"):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif tensor.ndim == 1:
            center = 1.0 if name.endswith("weight") else 0.0
            tensor.copy_(center + 0.2 * noise)
        else:
            tensor.copy_(noise * (2.0 / tensor[0].numel()) ** 0.5)


def wave(x):
    """What the gradient weights x by, so that no part of it cancels."""
    return torch.cos(torch.arange(x.numel(), dtype=x.dtype)).reshape(x.shape)


def checkpoint(model):
    state = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    return state if "_fc.weight" in state else torchvision_names(state)


def record(name, case, model, maps, shape):
    model.double().eval()
    randomise(model)
    arrays = {f"checkpoint/{k}": v for k, v in checkpoint(model).items()}
    image = torch.randn(shape).double().requires_grad_()
    answers = maps(image)
    sum((x * wave(x)).sum() for x in answers).backward()
    arrays.update(image=image.detach().numpy(), image_gradient=image.grad.numpy())
    model.train()
    # Not the last map: of so few pixels, float32 has too few digits of the variance.
    arrays["train"] = maps(image)[3].detach().numpy()
    arrays.update((f"map{i}", x.detach().numpy()) for i, x in enumerate(answers))
    after = checkpoint(model).items()
    arrays.update((f"after/{k}", v) for k, v in after if "running" in k)
    arrays = {
        k: v.astype(np.float32) if v.dtype == np.float64 else v
        for k, v in arrays.items()
    }
    GOLDEN.mkdir(exist_ok=True)
    case = np.array(json.dumps(case))
    np.savez_compressed(GOLDEN / f"{name}.npz", case=case, **arrays)


def main():
    torch.manual_seed(0)
    for name, case in RESNETS.items():
        record(name, case, *resnet(**case), (2, case["channels"], 64, 32))
    shape = (2, 3, *EFFICIENTNET["size"])
    record("efficientnet_lite", EFFICIENTNET, *efficientnet(**EFFICIENTNET), shape)


if __name__ == "__main__":
    main()
