"""Writes tests/support/golden/{unet_plus_plus,deeplabv3_plus}.npz with PyTorch.

Run it once, after `pip install -e .[parity]` and `pip install
segmentation-models-pytorch==0.6.0`: python tests/support/make_golden_decoders.py
Weights are random. Each file holds a tiny network: its arrays (prefix "checkpoint/")
under the names of PyTorch, an image, its logits in evaluation and in training, and the
gradient of the image. Computed in float64, kept in float32. The published networks'
numbers of parameters are printed.
"""

import numpy as np
import torch
import transformers
from make_golden_encoders import GOLDEN, randomise, torchvision_names, wave
from monai.networks.nets import BasicUNetPlusPlus
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder

LEAKY = ("leakyrelu", {"negative_slope": 0.01, "inplace": True})


class UNetPlusPlus(torch.nn.Module):
    """MONAI's network: four logits with deep supervision, the last one the finest."""

    def __init__(self, features=(2, 4, 8, 16, 32, 2), channels=1, classes=3):
        super().__init__()
        self.net = BasicUNetPlusPlus(
            2, channels, classes, features, deep_supervision=True, act=LEAKY
        )

    def forward(self, image):
        return self.net(image)


class DeepLab(torch.nn.Module):
    """A ResNet whose last stage is dilated, and the decoder of DeepLabV3+."""

    def __init__(self, depths=(2, 2, 2, 2), width=3, features=8, bottleneck=False):
        super().__init__()
        factor = 4 if bottleneck else 1
        sizes = [width * factor * 2**i for i in range(4)]
        config = transformers.ResNetConfig(
            num_channels=3,
            embedding_size=width,
            hidden_sizes=sizes,
            depths=list(depths),
            layer_type="bottleneck" if bottleneck else "basic",
        )
        self.encoder = transformers.ResNetModel(config)
        for module in self.encoder.encoder.stages[-1].modules():
            if isinstance(module, torch.nn.Conv2d):
                (side, _), module.stride, module.dilation = module.kernel_size, 1, 2
                module.padding = (side // 2 * 2,) * 2
        self.decoder = DeepLabV3PlusDecoder(
            [3, width, *sizes], 5, features, (2, 3, 4), 16, True, 0.0
        )
        self.head = torch.nn.Conv2d(features, 3, 1)
        self.up = torch.nn.Upsample(scale_factor=4, mode="bilinear", align_corners=True)

    def forward(self, image):
        out = self.encoder(image, output_hidden_states=True)
        maps = [image, None, *out.hidden_states[1:]]
        return [self.up(self.head(self.decoder(maps)))]


def record(name, model, shape):
    model.double()
    randomise(model)
    arrays = {
        k: v.numpy().copy()
        for k, v in model.state_dict().items()
        if "num_batches_tracked" not in k
    }
    if hasattr(model, "encoder"):
        arrays = torchvision_names(arrays)
    arrays = {f"checkpoint/{k}": v for k, v in arrays.items()}
    image = torch.randn(shape).double().requires_grad_()
    model.eval()
    logits = model(image)
    sum((x * wave(x)).sum() for x in logits).backward()
    arrays["image"] = image.detach().numpy()
    arrays["image_gradient"] = image.grad.numpy()
    arrays |= {f"logits{i}": x.detach().numpy() for i, x in enumerate(logits)}
    model.train()
    arrays["train"] = model(image)[-1].detach().numpy()
    arrays = {k: v.astype(np.float32) for k, v in arrays.items()}
    np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)


def count(model):
    return sum(p.numel() for p in model.parameters())


if __name__ == "__main__":
    torch.manual_seed(0)
    record("unet_plus_plus", UNetPlusPlus(), (2, 1, 32, 32))
    record("deeplabv3_plus", DeepLab(), (2, 3, 48, 64))
    whole = (32, 32, 64, 128, 256, 32)
    print("UNet++", count(UNetPlusPlus(whole, channels=1, classes=2)))
    print("DeepLabV3+ 18", count(DeepLab(width=64, features=256)))
    big = DeepLab((3, 4, 6, 3), 64, 256, bottleneck=True)
    print("DeepLabV3+ 50", count(big))
