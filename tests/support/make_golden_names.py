"""Writes tests/support/golden/names_*.npz with PyTorch, transformers and timm.

Run it with timm 1.0.31, then with timm 0.6.13, beside `pip install -e .[parity]`:
python tests/support/make_golden_names.py. The old version, like the paper's own code,
ends a stage with its patch merging where the new one begins the next with it. Weights
are random. Each file holds a tiny backbone under the names its library writes (prefix
"checkpoint/"), an image, and the last map that the library computes.
"""

import pathlib
import tempfile

import numpy as np
import timm
import torch
import transformers
from safetensors.numpy import load_file
from timm.models.swin_transformer import SwinTransformer

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
SIZE = 64
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN = dict(embed_dim=4, depths=[1, 2, 2, 1], num_heads=[1, 2, 2, 4], window_size=2)


@torch.no_grad()
def randomise(model):
    """Weights of a scale that keeps all parts of the answer alive."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_floating_point() or "mask" in name:
            continue
        noise = torch.randn_like(tensor)
        if name.endswith("running_var"):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif name.endswith("bias_table"):
            tensor.copy_(noise)
        elif tensor.ndim == 1:
            center = 1.0 if name.endswith("weight") else 0.0
            tensor.copy_(center + 0.2 * noise)
        else:
            tensor.copy_(noise * (1.5 / tensor[0].numel()) ** 0.5)


def timm_swin():
    """The map before the last norm, [b, h, w, c]."""
    options = dict(img_size=SIZE, num_classes=3, drop_path_rate=0.0)
    model = SwinTransformer(**options, **SWIN)

    def top(image):
        maps = []
        model.layers[-1].register_forward_hook(lambda *a: maps.append(a[-1]))
        model(image)
        return maps[0].reshape(len(image), SIZE // 32, SIZE // 32, -1)

    return model, model.state_dict, top


def hf(model, top):
    def saved():
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            arrays = load_file(pathlib.Path(folder) / "model.safetensors")
        return {name: torch.tensor(array) for name, array in arrays.items()}

    return model, saved, lambda image: top(model, image).permute(0, 2, 3, 1)


def hf_cases():
    options = dict(image_size=SIZE, drop_path_rate=0.0, num_labels=3)
    swin = transformers.SwinConfig(**options, **SWIN, out_features=STAGES)
    resnet = transformers.ResNetConfig(
        embedding_size=3,
        hidden_sizes=[12, 24, 48, 96],
        depths=[2, 1, 1, 1],
        layer_type="bottleneck",
        num_labels=3,
    )

    def hidden(model, image):
        out = model(image, output_hidden_states=True)
        states = getattr(out, "reshaped_hidden_states", None) or out.hidden_states
        return states[-1]

    return {
        "hf_swin": hf(transformers.SwinForImageClassification(swin), hidden),
        "hf_swin_backbone": hf(
            transformers.SwinBackbone(swin), lambda m, x: m(x).feature_maps[-1]
        ),
        "hf_resnet": hf(transformers.ResNetForImageClassification(resnet), hidden),
    }


def main():
    torch.manual_seed(0)
    old = int(timm.__version__.split(".")[0]) < 1
    cases = {"timm_swin_old" if old else "timm_swin": timm_swin()}
    if not old:
        cases |= hf_cases()
    for name, (model, saved, top) in cases.items():
        randomise(model.eval())
        image = torch.randn(1, 3, SIZE, SIZE)
        with torch.no_grad():
            arrays = {"image": image.permute(0, 2, 3, 1), "top": top(image)}
        arrays |= {f"checkpoint/{k}": v for k, v in saved().items()}
        arrays = {k: v.numpy() for k, v in arrays.items()}
        np.savez_compressed(GOLDEN / f"names_{name}.npz", **arrays)


if __name__ == "__main__":
    main()
