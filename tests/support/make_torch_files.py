"""Writes support/golden/torch_*.pt with PyTorch, and torch.npz with what they hold.

Run it once, after `pip install -e .[parity]`: python tests/support/make_torch_files.py
"""

import collections
import pathlib

import numpy as np
import torch

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"


def tensors():
    """Every kind of number, views of one storage, strides, no elements, no axes."""
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16")
    kinds += ("int8", "uint8", "bool")
    return collections.OrderedDict(
        {kind: (base * 3).to(getattr(torch, kind)) for kind in kinds},
        base=base,
        transposed=base.t(),
        window=base[1:3, ::2],
        row=base[2],
        parameter=torch.nn.Parameter(base.clone()),
        half_row=base.to(torch.bfloat16)[:, 3],
        empty=torch.zeros(0, 3),
        scalar=torch.tensor(7.0),
    )


def main():
    GOLDEN.mkdir(exist_ok=True)
    state = tensors()
    module = torch.nn.BatchNorm2d(3).state_dict()  # has an attribute, the versions
    nested = {"epoch": 3, "size": torch.Size([2]), "state_dict": module}
    for name, zipped in (("zip", True), ("legacy", False)):
        options = dict(_use_new_zipfile_serialization=zipped)
        torch.save(state, GOLDEN / f"torch_{name}.pt", **options)
        torch.save(nested, GOLDEN / f"torch_{name}_nested.pt", **options)
    arrays = {
        k: (v.detach().float() if v.dtype == torch.bfloat16 else v.detach()).numpy()
        for k, v in state.items()
    }
    np.savez_compressed(GOLDEN / "torch.npz", **arrays)


if __name__ == "__main__":
    main()
