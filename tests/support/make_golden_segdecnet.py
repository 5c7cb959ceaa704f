"""Writes golden/segdecnet.npz and golden/segdecnet_plus_plus.npz with PyTorch.

Run it once, after `pip install -e .[parity]`: python
tests/support/make_golden_segdecnet.py
The networks are written here from the published table of layers and know nothing of
jaxseg; weights are random. Each file holds a narrow network: its arrays (prefix
"checkpoint/") under the names of PyTorch, its logits, the logit of the whole image, and
every fifth row and column of the gradient of the image, of which the decision passes
back a share. Computed in float64, kept in float32; `drawn` makes the image and what the
outputs are weighed by. The numbers of parameters of the published widths are printed.
"""

import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

GOLDEN = pathlib.Path(__file__).parent / "golden"
NARROW = dict(widths=(4, 6, 6, 8), top=15, up=(6, 5, 4), decision=(3, 4, 5))
PUBLISHED = dict(
    widths=(32, 64, 64, 1024), top=15, up=(16, 16, 8), decision=(8, 16, 32)
)
SIZE, SHARE = (144, 128), 0.3  # of the gradient of the decision


def drawn(shape, seed):
    """Numbers of `shape`, NCHW, that need not be kept in a file."""
    return np.random.default_rng(seed).normal(size=shape)


class Norm(nn.Module):
    """Divides by the square root of the unbiased standard deviation."""

    def __init__(self, channels, shift=True):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels)) if shift else None

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        deviation = x.std((2, 3), keepdim=True, unbiased=True)
        y = (x - mean) / torch.sqrt(deviation + 1e-3) * self.gamma[None, :, None, None]
        return y if self.beta is None else y + self.beta[None, :, None, None]


class Block(nn.Module):
    """Convolution without bias, norm, ReLU."""

    def __init__(self, inside, outside, kernel):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)
        self.norm = Norm(outside)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


def blocks(inside, outside, number, kernel=5):
    chain = [
        Block(inside if i == 0 else outside, outside, kernel) for i in range(number)
    ]
    return nn.Sequential(*chain)


class Skip(nn.Module):
    """A 1x1 convolution times squeeze and excitation."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.squeeze = nn.Linear(channels, channels)
        self.excite = nn.Linear(channels, channels)

    def forward(self, x):
        share = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return self.conv(x) * share[:, :, None, None]


def partly(x, share):
    """x, whose gradient is multiplied by `share`."""
    return share * x + ((1 - share) * x).detach()


class Network(nn.Module):
    """(logits at 1/8 or None, logits at the size of the image, logit of the image)."""

    def __init__(self, widths, top, up, decision, plus_plus, skips, share=SHARE):
        super().__init__()
        a, b, c, d = widths
        self.plus_plus, self.share = plus_plus, share
        self.v1, self.v2 = blocks(3, a, 1), blocks(a, b, 3)
        self.v3, self.v4 = blocks(b, c, 4), blocks(c, d, 1, top)
        if plus_plus:
            e, f, g = up
            self.up1 = nn.ConvTranspose2d(d, e, 5, stride=2)
            self.up2 = nn.ConvTranspose2d(e, f, 5, stride=2)
            self.up3 = nn.ConvTranspose2d(f, g, 5, stride=2)
            self.d1, self.d2 = blocks(e + c, e, 1), blocks(f + b, f, 4)
            self.d3 = blocks(g + a, g, 3)
            if skips:
                self.s1, self.s2, self.s3 = Skip(c), Skip(b), Skip(a)
        last, kernel = (up[2], 5) if plus_plus else (d, 1)
        self.mask = nn.Conv2d(last, 1, kernel, padding=kernel // 2, bias=False)
        self.mask_norm = Norm(1, shift=False)
        p, q, r = decision
        self.c1, self.c2, self.c3 = (
            blocks(d + 1, p, 1),
            blocks(p, q, 1),
            blocks(q, r, 1),
        )
        self.fc = nn.Linear(2 * r + 2, 1)

    def forward(self, image):
        one = self.v1(image)
        two = self.v2(F.max_pool2d(one, 2))
        three = self.v3(F.max_pool2d(two, 2))
        x = volume = self.v4(F.max_pool2d(three, 2))
        if self.plus_plus:
            for i, skip in ((1, three), (2, two), (3, one)):
                x = getattr(self, f"up{i}")(x)[:, :, 2:-1, 2:-1]
                if hasattr(self, f"s{i}"):
                    skip = getattr(self, f"s{i}")(skip)
                x = getattr(self, f"d{i}")(torch.cat([x, skip], 1))
        mask = self.mask_norm(self.mask(x))
        small = F.avg_pool2d(mask, 8) if self.plus_plus else mask
        y = partly(torch.cat([volume, small], 1), self.share)
        for convolution in (self.c1, self.c2, self.c3):
            y = convolution(F.max_pool2d(y, 2))
        seen = partly(mask, self.share)
        parts = [y.amax((2, 3)), y.mean((2, 3)), seen.amax((2, 3)), seen.mean((2, 3))]
        return mask, self.fc(torch.cat(parts, 1))


def record(name, plus_plus):
    torch.manual_seed(1)
    model = Network(**NARROW, plus_plus=plus_plus, skips=plus_plus).double()
    with torch.no_grad():
        for value in model.parameters():
            noise = 0.2 * torch.randn_like(value)
            value.copy_(value + noise if value.ndim == 1 else value * 2)
    image = torch.tensor(drawn((1, 3, *SIZE), 0), requires_grad=True)
    mask, whole = model(image)
    value = (mask * torch.tensor(drawn(mask.shape, 1))).sum() + 3 * whole.sum()
    gradient = torch.autograd.grad(value, image)[0][:, :, ::5, ::5]
    arrays = {f"checkpoint/{k}": v.numpy() for k, v in model.state_dict().items()}
    arrays |= {"mask": mask.detach().numpy(), "whole": whole.detach().numpy()}
    arrays |= {"image_gradient": gradient.numpy()}
    if not plus_plus:  # cell i at pixel 8 i, the last one repeated
        size = [8 * (n - 1) + 1 for n in mask.shape[2:]]
        options = dict(mode="bilinear", align_corners=True)
        large = F.interpolate(mask.detach(), size, **options)
        arrays["large"] = F.pad(large, (0, 7, 0, 7), mode="replicate").numpy()
    arrays = {k: v.astype(np.float32) for k, v in arrays.items()}
    np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)


if __name__ == "__main__":
    record("segdecnet", False)
    record("segdecnet_plus_plus", True)
    for plus_plus, skips in ((False, False), (True, False), (True, True)):
        whole = Network(**PUBLISHED, plus_plus=plus_plus, skips=skips)
        print(plus_plus, skips, sum(p.numel() for p in whole.parameters()))
