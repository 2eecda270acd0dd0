"""Writes goldens/checkpoints/: small state dictionaries saved by torch.save in both of its formats,
their safetensors twin, and files that must be refused.

usage: python reference/checkpoints.py
"""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent.parent / "goldens" / "checkpoints"


def state_dict():
    generator = torch.Generator().manual_seed(3)
    random = lambda *shape: torch.randn(*shape, generator=generator)
    base = random(4, 6)
    tensors = OrderedDict()
    tensors["contiguous"] = random(3, 5)
    tensors["transposed"] = random(5, 3).t()
    tensors["slice"] = base[1:3, 2:5]
    tensors["shares_storage"] = base[3]
    tensors["parameter"] = torch.nn.Parameter(random(2, 2))
    tensors["half"] = random(7).half()
    tensors["bfloat16"] = random(7).bfloat16()
    tensors["double"] = random(3).double()
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["position_ids"] = torch.arange(6).view(1, 6)
    tensors["mask"] = torch.tensor([True, False])
    return tensors


class Evil:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    tensors = state_dict()
    torch.save(tensors, FOLDER / "zip.bin")
    torch.save(tensors, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": tensors, "epoch": 3}, FOLDER / "nested.bin")
    torch.save(tensors, FOLDER / "protocol4.bin", pickle_protocol=4)
    twin = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(twin, FOLDER / "twin.safetensors")
    torch.save({"weight": torch.ones(2), "evil": Evil()}, FOLDER / "evil.bin")
    legacy = FOLDER / "evil-legacy.bin"
    torch.save({"evil": Evil()}, legacy, _use_new_zipfile_serialization=False)
    module = torch.nn.Linear(2, 2)
    torch.save(module, FOLDER / "module.bin")
    (FOLDER / "plain.pkl").write_bytes(pickle.dumps({"a": [1, 2]}, protocol=2))
    for path in sorted(FOLDER.iterdir()):
        print(path.name, path.stat().st_size, "bytes")


main()
