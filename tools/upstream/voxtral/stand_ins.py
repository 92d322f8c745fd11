"""For modules that upstream's files import and that nothing on the CPU needs: vLLM, xFormers."""
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
import types
from pathlib import Path

import torch.nn.functional as F

OMNI = "vllm_omni"
# Parents of the files that are wanted, whose own __init__ would import all of vLLM, and neighbours.
NOT_LOADED = {OMNI, *(f"{OMNI}.{name}" for name in (
    "model_executor", "model_executor.models", "platforms", "quantization",
    "quantization.component_config", "transformers_utils", "transformers_utils.configs",
    "transformers_utils.parsers"))}
WHOLE = {"vllm", "xformers"}


def copy_weight(parameter, value):
    if parameter.shape != value.shape:
        raise ValueError(f"a tensor of {tuple(value.shape)} for {tuple(parameter.shape)}")
    parameter.data.copy_(value)


def attend(query, key, value, _mask=None):
    """xFormers' attention [1, time, heads, width] of one causal sequence."""
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return seen.transpose(1, 2).contiguous()


def register_processor(*_, **__):
    return lambda model: model


# What is more than a name in a signature.
GIVEN = {
    "vllm.logger": {"init_logger": logging.getLogger},
    "vllm.model_executor.model_loader.weight_utils": {"default_weight_loader": copy_weight},
    "vllm.model_executor.models.utils": {"maybe_prefix": lambda prefix, name: name},
    "vllm.multimodal": {"MULTIMODAL_REGISTRY": types.SimpleNamespace(
        register_processor=register_processor)},
    "vllm.transformers_utils.config": {"_CONFIG_FORMAT_TO_CONFIG_PARSER": {}},
    # Upstream's encoder casts to bfloat16 on this device: on the CPU it stays in float32.
    "vllm_omni.platforms": {"current_omni_platform": types.SimpleNamespace(device_type="xpu")},
    "xformers.ops.fmha": {"memory_efficient_attention": attend},
}


class StandIn(types.ModuleType):
    """Any name that is asked of it is an empty class."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__class_getitem__": classmethod(lambda own, _: own)})
        setattr(self, name, made)
        return made


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins, behind which the wanted files of vllm-omni are found as they are."""

    def __init__(self):
        spec = importlib.util.find_spec(OMNI)
        if spec is None:
            raise ImportError(f"no module named {OMNI}")
        self.omni = list(spec.submodule_search_locations)

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in WHOLE and name not in NOT_LOADED:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=True)
        if name in NOT_LOADED:
            below = name.split(".")[1:]
            spec.submodule_search_locations = [str(Path(root, *below)) for root in self.omni]
        return spec

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        vars(module).update(GIVEN.get(module.__name__, {}))


@contextlib.contextmanager
def stand_ins():
    """Within, upstream's files can be imported. Afterwards they alone know the stand-ins."""
    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, StandIn)]:
            del sys.modules[name]
