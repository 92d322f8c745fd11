"""Upstream's side for CosyVoice 3: what FunAudioLLM/CosyVoice makes of folders, shards and clips."""
import contextlib
import functools
import inspect
import logging
import os
import random
import sys
import textwrap
import warnings
from pathlib import Path

import soundfile
import torch
import torchaudio

from upstream.compare import adamw_steps, require_same_tensors

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def load_by_soundfile(path, **_):
    """torchaudio.load, which wants another package since 2.9."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate


torchaudio.load = load_by_soundfile
with contextlib.redirect_stdout(sys.stderr):
    import cosyvoice.llm.llm as llm_module
    from cosyvoice.cli.cosyvoice import CosyVoice3
    from cosyvoice.dataset.dataset import Dataset
    from hyperpyyaml import load_hyperpyyaml

END = "<|endofprompt|>"
WEIGHTS = {"speech": 1.0}
FILES = ("llm.pt", "flow.pt", "hift.pt")
INFERENCE = textwrap.dedent(inspect.getsource(llm_module.Qwen2LM.inference))


def use_end_of_prompt(end):
    """Upstream's decoding asserts on the id that the release has; the tiny tokenizer has another."""
    scope = {}
    exec(INFERENCE.replace("151646", str(end)), llm_module.__dict__, scope)
    llm_module.Qwen2LM.inference = scope["inference"]


class Upstream:
    """A folder in the released layout, loaded whole by upstream's own class, strictly."""

    def __init__(self, folder):
        self.folder = Path(folder)
        with contextlib.redirect_stdout(sys.stderr):
            self.tts = CosyVoice3(str(folder))
        self.llm, self.flow = self.tts.model.llm, self.tts.model.flow
        self.frontend = self.tts.frontend
        use_end_of_prompt(self.frontend.tokenizer.encode(END)[0])

    def count_tensors(self):
        """Of each file; every one taken as it is stored."""
        counts = []
        for name, module in zip(FILES, (self.llm, self.flow, self.tts.model.hift)):
            stored = torch.load(self.folder / name, weights_only=True)
            stored = {key.removeprefix("generator."): value for key, value in stored.items()}
            counts.append(require_same_tensors(name, module.state_dict(), stored))
        return counts

    # Prep.

    def encode(self, audio):
        """Codes and vector of a recording, as upstream's tools make them."""
        codes, _ = self.frontend._extract_speech_token(audio)
        return codes[0].tolist(), self.frontend._extract_spk_embedding(audio)[0].tolist()

    def batches(self, data_list):
        """What upstream's dataset makes of parquet shards."""
        with open(self.folder / "cosyvoice3.yaml", encoding="utf-8") as file:
            recipe = load_hyperpyyaml(file, overrides={
                "qwen_pretrain_path": str(self.folder / "CosyVoice-BlankEN")})
        return list(Dataset(str(data_list), recipe["data_pipeline"], mode="train", shuffle=False,
                            partition=False))

    # The language model.

    def batch(self, row):
        """A prepared row as upstream's batch of one."""
        def ids(values):
            return torch.tensor([values]), torch.tensor([len(values)])

        made = {}
        for key, values in (("text_token", self.frontend.tokenizer.encode(row["text"])),
                            ("instruct_token", self.frontend.tokenizer.encode(row["instruct"])),
                            ("speech_token", row["speech_token"])):
            made[key], made[f"{key}_len"] = ids(values)
        return made

    def cross_entropies(self, row):
        """Of every label of a clip, in the layout of text that is there as a whole."""
        kept, batch = [], self.batch(row)
        criterion, draw = self.llm.criterion_ce, random.random

        def keep(logits, target):
            flat = target.flatten()
            kept.append(torch.nn.functional.cross_entropy(
                logits.flatten(0, 1)[flat >= 0], flat[flat >= 0], reduction="none"))
            return type(criterion).forward(criterion, logits, target)

        criterion.forward = keep
        random.random = lambda: 1.0  # never the layout of streamed text
        try:
            loss = self.llm(batch, torch.device("cpu"))["loss"]
        finally:
            random.random = draw
            del criterion.forward
        assert torch.isclose(kept[0].mean(), loss), "upstream's loss is the mean over its labels"
        return {"speech": kept[0]}

    @torch.no_grad()
    def losses(self, rows):
        return {row["id"]: {term: (values.sum().item(), len(values))
                            for term, values in self.cross_entropies(row).items()}
                for row in rows}

    def train(self, rows, steps, rate):
        """AdamW on all of the language model; the loss before each step."""
        self.llm.train()
        parameters = [value for name, value in self.llm.named_parameters()]
        losses = adamw_steps(parameters, lambda: [self.cross_entropies(row) for row in rows],
                             WEIGHTS, steps, rate)
        self.llm.eval()
        return losses

    def greedy(self, text, speaker, most):
        """Codes of a stored voice (upstream's SFT mode), without long silence."""
        given, model, name = self.frontend.frontend_sft(text, speaker), self.tts.model, "check"
        model.tts_speech_token_dict[name], model.llm_end_dict[name] = [], False
        sampling, inference = self.llm.sampling, self.llm.inference
        self.llm.sampling = lambda scores, *_: scores.argmax().item()
        self.llm.inference = functools.partial(
            inference, max_token_text_ratio=most / given["text"].shape[1] + 1e-6)
        none = torch.zeros(1, 0, dtype=torch.int32)
        try:
            model.llm_job(given["text"], none, none, given["llm_embedding"], name)
        finally:
            self.llm.sampling, self.llm.inference = sampling, inference
        return model.tts_speech_token_dict.pop(name)

    # Sound.

    def wave(self, codes, speaker):
        """Of codes in a stored voice, whole."""
        vector = self.frontend.spk2info[speaker]["embedding"]
        model, name = self.tts.model, "check"
        model.hift_cache_dict[name] = None
        none = torch.zeros(1, 0, dtype=torch.int32)
        return model.token2wav(torch.tensor([codes]), none, torch.zeros(1, 0, 80), vector, 0, name,
                               finalize=True)[0]

    def noise(self, samples):
        """The tables that upstream draws while it builds its modules."""
        source = self.tts.model.hift.m_source.l_sin_gen
        return {"flow_rand_noise": self.flow.decoder.rand_noise[0, :, :4000].clone(),
                "sine_tile": source.sine_waves[0, :samples].clone(),
                "rand_ini": source.rand_ini[0].clone()}
