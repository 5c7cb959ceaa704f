"""Builds in PyTorch the networks that `models.py` measures beside those of jaxseg.

Written from the papers that the modules of `jaxseg/models` name, with as many
parameters as they have: `unet`, `attention_unet` and `resnet_unet`. Images are f32
[b, c, h, w] whose sides are multiples of 32, logits f32 [b, k, h, w].
"""

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d


def build(name: str, fields, num_classes: int, channels: int) -> nn.Module:
    """The network `name`; `fields` is the module of jaxseg that it shall equal."""
    if name == "resnet_unet":
        return ResNetUNet(fields.decoder_widths, num_classes, channels)
    gated = name == "attention_unet"
    return UNet(fields.widths, num_classes, channels, gated=gated)


def _norm_conv(before, after, kernel=3, stride=1):
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(after)]


def _block(before, after):
    relu = nn.ReLU(inplace=True)
    first, second = _norm_conv(before, after), _norm_conv(after, after)
    return nn.Sequential(*first, relu, *second, relu)


class UNet(nn.Module):
    """A U-Net with batch norm; `gated` weighs each skip by additive attention."""

    def __init__(self, widths, num_classes, channels, *, gated):
        super().__init__()
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.down = nn.ModuleList(map(_block, (channels, *widths[:-1]), widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.join = nn.ModuleList(_block(2 * b, b) for _, b in pairs)
        self.gates = nn.ModuleList(Gate(a, b) for a, b in pairs) if gated else None
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, x):
        skips = []
        for i, down in enumerate(self.down):
            x = down(max_pool2d(x, 2) if i else x)
            skips.append(x)
        for i, skip in enumerate(skips[-2::-1]):
            if self.gates:
                skip = self.gates[i](skip, x)
            x = self.join[i](torch.cat([self.up[i](x), skip], 1))
        return self.head(x)


class Gate(nn.Module):
    """The skip times an attention that comes from the coarser map."""

    def __init__(self, coarse, width):
        super().__init__()
        self.signal = nn.Sequential(*_norm_conv(coarse, width, 1), nn.ReLU())
        self.phi = nn.Conv2d(width, width, 1)
        self.theta = nn.Conv2d(width, width, 2, 2, bias=False)
        self.psi = nn.Conv2d(width, 1, 1)
        self.out = nn.Sequential(*_norm_conv(width, width, 1))

    def forward(self, skip, coarse):
        score = torch.relu(self.theta(skip) + self.phi(self.signal(coarse)))
        share = torch.sigmoid(self.psi(score))
        share = interpolate(share, scale_factor=2, mode="bilinear", align_corners=False)
        return self.out(skip * share)


class ResNetUNet(nn.Module):
    """A ResNet of 34 layers, and the way back up by the nearest neighbour."""

    def __init__(self, decoder_widths, num_classes, channels):
        super().__init__()
        widths, blocks = (64, 128, 256, 512), (3, 4, 6, 3)
        self.stem = nn.Sequential(
            *_norm_conv(channels, 64, 7, 2), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList()
        before = 64
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            strides = [1 + (i > 0)] + [1] * (count - 1)
            stage = [Residual(before, width, strides[0])]
            stage += [Residual(width, width, 1) for _ in strides[1:]]
            self.stages.append(nn.Sequential(*stage))
            before = width
        skips, self.join = (256, 128, 64, 64, 0), nn.ModuleList()
        for width, skip in zip(decoder_widths, skips, strict=True):
            self.join.append(_block(before + skip, width))
            before = width
        self.head = nn.Conv2d(before, num_classes, 1)

    def forward(self, x):
        skips = [self.stem(x)]
        x = max_pool2d(skips[0], 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        for join, skip in zip(self.join, (*skips[-2::-1], None), strict=True):
            x = interpolate(x, scale_factor=2)
            x = join(x if skip is None else torch.cat([x, skip], 1))
        return self.head(x)


class Residual(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    def __init__(self, before, after, stride):
        super().__init__()
        first = _norm_conv(before, after, 3, stride)
        self.body = nn.Sequential(
            *first, nn.ReLU(inplace=True), *_norm_conv(after, after)
        )
        same = before == after and stride == 1
        short = [] if same else _norm_conv(before, after, 1, stride)
        self.short = nn.Sequential(*short)

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))
