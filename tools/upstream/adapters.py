"""A LoRA adapter of ttsft, put on upstream's modules by PEFT."""
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from upstream.harness import Mismatch


class Adapter:
    """Wraps a module of upstream's, which computes with the adapter from then on."""

    def __init__(self, module, folder):
        self.folder = Path(folder)
        self.peft = PeftModel.from_pretrained(module, str(folder)).eval()
        self.layers = [layer for layer in module.modules() if isinstance(layer, LoraLayer)]

    def count_tensors(self):
        """Proves that PEFT took every tensor of the adapter and wanted no other."""
        taken = get_peft_model_state_dict(self.peft)
        stored = load_file(self.folder / "adapter_model.safetensors")
        differing = sorted(taken.keys() ^ stored.keys())
        if differing:
            raise Mismatch(f"PEFT's names differ in {len(differing)}, first {differing[0]}")
        for name, value in stored.items():
            if not torch.equal(value, taken[name]):
                raise Mismatch(f"PEFT did not take {name} as stored")
        return len(stored)

    def smallest_delta(self):
        return min(layer.get_delta_weight("default").abs().max().item() for layer in self.layers)

    def describe(self):
        """What a check of the adapter tells, after its proofs."""
        count, delta = self.count_tensors(), self.smallest_delta()
        if not delta > 1e-6:
            raise Mismatch("an adapter does not change its weight")
        return (f"PEFT takes {count} tensors, none missing or unknown; each of {len(self.layers)}"
                f" adapters changes its weight by {delta:.1e} or more")

    def set_scale(self, scale):
        for layer in self.layers:
            layer.set_scale("default", scale)

    def merged(self):
        """The module's tensors with the adapter merged, under their released names."""
        return self.peft.merge_and_unload().state_dict()
