"""Writes tests/support/golden/training.npz: 50 steps of three networks by PyTorch.

Run it once, after `pip install -e .[parity]`, from the root of the project:

    PYTHONPATH=.:tests python tests/support/make_golden_training.py

The networks are PyTorch's own layers, Hugging Face's ResNet and its UPerNet-Swin; the
optimizer is torch.optim.AdamW with clip_grad_norm_ and the warm-up and cosine of
transformers. First weights and batches come from `short_training`, by numpy seeds. Kept
are the loss and the norm of the gradient of every step, and logits of the trained
network in evaluation. Computed in float64, because rounding grows from step to step:
PyTorch's own float32 is 2e-3 from these losses, and 0.13 from these logits, where a
batch norm of the ResNet sees 16 values.
"""

import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional

from jaxseg.models import _resnet
from jaxseg.types import IGNORE
from jaxseg.weights import into_model, published_names
from support import make_golden, make_golden_encoders, short_training

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
LEAVES |= {"mean": "running_mean", "var": "running_var"}


class Block(nn.Module):
    """Twice convolution without bias, batch norm, ReLU; named as jaxseg's."""

    def __init__(self, before, after):
        super().__init__()
        self.layer1_conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.layer1_norm = nn.BatchNorm2d(after)
        self.layer2_conv = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.layer2_norm = nn.BatchNorm2d(after)

    def forward(self, x):
        x = functional.relu(self.layer1_norm(self.layer1_conv(x)))
        return functional.relu(self.layer2_norm(self.layer2_conv(x)))


class UNet(nn.Module):
    """A plain U-Net: max pooling, transposed convolutions, a 1x1 convolution."""

    def __init__(self, widths):
        super().__init__()
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        for i, (before, width) in enumerate(zip((1, *widths), widths, strict=False), 1):
            self.encoder[f"level{i}"] = Block(before, width)
        for i in range(len(widths) - 1, 0, -1):
            fine, coarse = widths[i - 1], widths[i]
            self.decoder[f"level{i}_up"] = nn.ConvTranspose2d(coarse, fine, 2, 2)
            self.decoder[f"level{i}"] = Block(2 * fine, fine)
        self.head = nn.Conv2d(widths[0], short_training.CLASSES, 1)

    def forward(self, x):
        skips = []
        for i, level in enumerate(self.encoder.values()):
            x = level(functional.max_pool2d(x, 2) if i else x)
            skips.append(x)
        for i in range(len(skips) - 1, 0, -1):
            x = self.decoder[f"level{i}_up"](x)
            x = self.decoder[f"level{i}"](torch.cat((x, skips[i - 1]), 1))
        return [self.head(x)]

    def load(self, variables):
        self.load_state_dict(own_names(variables), strict=False)


class ResNetUNet(nn.Module):
    """Hugging Face's ResNet, then nearest upsampling and blocks."""

    def __init__(self, depth, width, decoder_widths):
        super().__init__()
        self.resnet, self.maps = make_golden_encoders.resnet(
            blocks=list(_resnet.BLOCKS[depth]),
            bottleneck=False,
            width=width,
            channels=1,
        )
        skips = [width * 4, width * 2, width, width, 0]
        before, self.decoder = width * 8, nn.ModuleDict()
        for i, (skip, after) in enumerate(zip(skips, decoder_widths, strict=True)):
            self.decoder[f"level{5 - i}"] = Block(before + skip, after)
            before = after
        self.head = nn.Conv2d(before, short_training.CLASSES, 1)

    def forward(self, image):
        *skips, x = self.maps(image)
        for level, skip in zip(
            self.decoder.values(), [*skips[::-1], None], strict=True
        ):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = level(x if skip is None else torch.cat((x, skip), 1))
        return [self.head(x)]

    def load(self, variables):
        names = own_names(variables)
        rest = {k: v for k, v in names.items() if not k.startswith("encoder.")}
        self.load_state_dict(rest, strict=False)
        arrays = into_model.collect(variables, published_names.hf_resnet(""))
        self.resnet.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})


class UPerNet(nn.Module):
    """Hugging Face's UPerNet-Swin, and its auxiliary head."""

    def __init__(self, *, embed_dim, depths, num_heads, window, width, aux_channels):
        super().__init__()
        swin = dict(depths=list(depths), num_heads=list(num_heads), window_size=window)
        self.upernet = make_golden.build(
            shape=(1, 1),
            num_classes=short_training.CLASSES,
            aux=True,
            swin=swin,
            embed_dim=embed_dim,
            width=width,
            aux_channels=aux_channels,
        )

    def forward(self, image):
        features = self.upernet.backbone(image).feature_maps
        heads = (self.upernet.decode_head, self.upernet.auxiliary_head)
        size = image.shape[2:]
        return [
            functional.interpolate(head(features), size=size, mode="bilinear")
            for head in heads
        ]

    def load(self, variables):
        arrays = into_model.collect(variables, published_names.hf_upernet())
        with tempfile.TemporaryDirectory() as folder:
            self.upernet.save_pretrained(folder)
            have = make_golden.checkpoint(self.upernet)
            spare = {k: v for k, v in have.items() if k not in arrays}
            assert all("layernorm." in k for k in spare), spare.keys()
            path = pathlib.Path(folder) / "model.safetensors"
            save_file({**spare, **arrays}, path, metadata={"format": "pt"})
            self.upernet = type(self.upernet).from_pretrained(folder)


NETWORKS = {"unet": UNet, "resnet_unet": ResNetUNet, "swin_upernet": UPerNet}


def own_names(variables):
    """{our path with dots, PyTorch's leaf: tensor} of the variables."""
    out = {}
    for path, leaf in into_model.collect(variables, published_names.own()).items():
        module, name = path.split("/", 1)[1].rsplit("/", 1)
        if name == "kernel" and module.endswith("_up"):
            leaf = leaf.transpose(2, 3, 0, 1)
        elif name == "kernel":
            leaf = leaf.reshape(*(1, 1)[: 4 - leaf.ndim], *leaf.shape)
            leaf = leaf.transpose(3, 2, 0, 1)
        key = f"{module.replace('/', '.')}.{LEAVES[name]}"
        out[key] = torch.tensor(np.ascontiguousarray(leaf))
    return out


def loss_of(logits, mask):
    """Cross-entropy of the labelled pixels plus soft Dice, each image by itself."""
    labelled = (mask != IGNORE).to(logits.dtype)
    count = labelled.sum((1, 2))
    each = functional.cross_entropy(logits, mask, ignore_index=IGNORE, reduction="none")
    entropy = each.sum((1, 2)) / count
    p = functional.softmax(logits, 1) * labelled[:, None]
    truth = torch.stack([mask == c for c in range(logits.shape[1])], 1).to(p.dtype)
    both, total = (p * truth).sum((2, 3)), (p + truth).sum((2, 3))
    overlap = (1 - (2 * both + 1) / (total + 1))[:, 1:].mean(1)
    return (entropy + overlap).mean()


def tensors(number):
    """(image, mask) of one batch, channels first."""
    batch = short_training.batch(number)
    image = short_training.normalise(torch.tensor(batch["image"]).double() / 255)
    return image.permute(0, 3, 1, 2), torch.tensor(batch["mask"]).long()


def train(name):
    """{losses, norms, logits} of the training of one network."""
    network = NETWORKS[name](**short_training.MODELS[name])
    before = sum(p.numel() for p in network.parameters())
    network.load(short_training.first_variables(name))
    assert before == sum(p.numel() for p in network.parameters())
    network.double().train()
    named = dict(network.named_parameters())
    decay = [p for k, p in named.items() if p.ndim > 1 and not k.endswith("bias_table")]
    chosen = {id(p) for p in decay}
    rest = [p for p in named.values() if id(p) not in chosen]
    optimizer = torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": short_training.WEIGHT_DECAY},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=short_training.PEAK_RATE,
    )
    schedule = transformers.get_cosine_schedule_with_warmup(
        optimizer, short_training.WARMUP, short_training.STEPS
    )
    losses, norms = [], []
    for number in range(short_training.STEPS):
        image, mask = tensors(number)
        logits, *aux = network(image)
        loss = loss_of(logits, mask)
        for other in aux:
            loss = loss + short_training.AUX_WEIGHT * loss_of(other, mask)
        optimizer.zero_grad()
        loss.backward()
        clip = torch.nn.utils.clip_grad_norm_
        norms.append(clip(network.parameters(), short_training.CLIP_NORM).item())
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        image, _ = tensors(short_training.STEPS)
        logits = network.eval()(image)[0].permute(0, 2, 3, 1)[:, ::8, ::8].numpy()
    answers = dict(losses=losses, norms=norms, logits=logits)
    return {k: np.asarray(v, np.float32) for k, v in answers.items()}


def main():
    arrays = {}
    for name in NETWORKS:
        answers = train(name)
        arrays |= {f"{name}/{k}": v for k, v in answers.items()}
        print(name, answers["losses"][[0, 1, 10, 25, -1]], answers["norms"][:3])
    np.savez_compressed(GOLDEN / "training.npz", **arrays)


if __name__ == "__main__":
    main()
