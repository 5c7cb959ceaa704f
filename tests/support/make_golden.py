"""Writes tests/support/golden/*.npz with PyTorch and Hugging Face transformers.

Run it once, after `pip install -e .[parity]`: python tests/support/make_golden.py
Weights are random, so nothing is downloaded. Each file holds a tiny UPerNet-Swin:
its checkpoint under the published names (prefix "hf/"), an image, and what the model
answers: features, logits, auxiliary logits, gradients, and one step in training mode.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
STAGES = ["stage1", "stage2", "stage3", "stage4"]
CASES = {
    # 37x42 is padded to patches, the maps 10x11, 5x6, 3x3, 2x2 to windows of 4, and the
    # odd maps to pairs; those of stages 3 and 4 are smaller than the window.
    "odd": dict(
        shape=(2, 3, 37, 42),
        num_classes=3,
        aux=True,
        table=(1, 1),  # stage and block whose position bias gradient is kept: shifted
        swin=dict(depths=[1, 2, 1, 2], num_heads=[1, 2, 2, 4], window_size=4),
    ),
    # One channel, an odd window, no auxiliary head, several windows in stage 2.
    "grey": dict(
        shape=(1, 1, 64, 96),
        num_classes=2,
        aux=False,
        table=(0, 1),
        swin=dict(depths=[2, 1, 3, 1], num_heads=[2, 2, 4, 4], window_size=3),
    ),
}


def build(*, shape, num_classes, aux, swin, embed_dim=4, width=6, aux_channels=5):
    """A UPerNet whose every parameter and running statistic is random."""
    backbone = transformers.SwinConfig(
        image_size=32,
        num_channels=shape[1],
        embed_dim=embed_dim,
        out_features=STAGES,
        drop_path_rate=0.0,
        **swin,
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone,
        hidden_size=width,
        use_auxiliary_head=aux,
        auxiliary_channels=aux_channels,
        num_labels=num_classes,
    )
    model = transformers.UperNetForSemanticSegmentation(config)
    randomise(model)
    return model.eval()


@torch.no_grad()
def randomise(model):
    """Weights of a scale that keeps all parts of the answer alive."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_floating_point():
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


def checkpoint(model):
    """The arrays by their published names, as transformers writes them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


def answers(model, image, cotangent, table):
    """Features, both logits, and gradients of sum(cotangent * logits)."""
    image = image.clone().requires_grad_()
    logits = model(image).logits
    features = model.backbone(image).feature_maps
    out = {f"stage{i + 1}": f for i, f in enumerate(features)}
    model.zero_grad()
    (logits * cotangent).sum().backward()
    out.update(logits=logits, image_gradient=image.grad)
    block = model.backbone.swin.encoder.layers[table[0]].blocks[table[1]].attention
    bias = block.relative_position_bias.relative_position_bias_table
    out["table_gradient"] = bias.grad
    if model.auxiliary_head is not None:
        aux = model.auxiliary_head(features)
        aux = torch.nn.functional.interpolate(
            aux, size=image.shape[2:], mode="bilinear"
        )
        out["aux"] = aux
    return {k: v.detach().numpy().copy() for k, v in out.items()}


def main():
    for seed, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        table = case.pop("table")
        model = build(**case)
        image = torch.randn(case["shape"])
        b, _, h, w = case["shape"]
        cotangent = torch.randn(b, case["num_classes"], h, w)
        arrays = {f"hf/{k}": v for k, v in checkpoint(model).items()}
        arrays.update(image=image.numpy(), cotangent=cotangent.numpy())
        arrays.update(answers(model, image, cotangent, table))
        if case["aux"]:  # batch statistics need more than one image
            arrays["train_logits"] = model.train()(image).logits.detach().numpy()
            arrays.update(
                (f"after/{k}", v)
                for k, v in checkpoint(model).items()
                if "running" in k
            )
        arrays["case"] = np.array(json.dumps(case))
        GOLDEN.mkdir(exist_ok=True)
        np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)


if __name__ == "__main__":
    main()
