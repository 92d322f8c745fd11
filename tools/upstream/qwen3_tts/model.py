"""Upstream's side of tools/check_upstream.py: what qwen-tts and PEFT make of folders and rows."""
import contextlib
import sys
import warnings
from pathlib import Path

import librosa
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

from upstream.adapters import Adapter
from upstream.compare import adamw_steps, require_same_tensors, summed

with contextlib.redirect_stdout(sys.stderr):  # it prints advice about flash-attn
    from qwen_tts import Qwen3TTSModel

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
WEIGHTS = {"talker": 1.0, "sub_talker": 0.3}  # of the terms in the loss


class Upstream:
    """A folder in the released layout, loaded by upstream's package in float32 on the CPU."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.tts = Qwen3TTSModel.from_pretrained(str(folder), dtype=torch.float32)
        self.model = self.tts.model.eval()
        self.config, self.talker = self.model.config, self.model.talker

    def count_tensors(self):
        """Proves that model and codec hold exactly their files' tensors."""
        return (require_same_tensors("model.safetensors", self.model.state_dict(),
                                     load_file(self.folder / "model.safetensors")),
                require_same_tensors("speech_tokenizer",
                                     self.model.speech_tokenizer.model.state_dict(),
                                     load_file(self.folder / "speech_tokenizer/model.safetensors")))

    def stored_dtypes(self):
        return sorted({str(t.dtype) for t in load_file(self.folder / "model.safetensors").values()})

    def encode(self, audio):
        return self.model.speech_tokenizer.encode(audio).audio_codes[0]

    def speaker_vector(self, audio):
        wave, rate = librosa.load(audio, sr=None, mono=True)
        return self.model.extract_speaker_embedding(wave, rate).clone()

    def named_vector(self, speaker):
        row = self.config.talker_config.spk_id[speaker.lower()]
        return self.talker.model.codec_embedding.weight[row].detach()

    def sequence(self, row):
        """A prepared row as tracks: text [T], codec [T, groups], the first frame's position."""
        top, talker = self.config, self.config.talker_config
        prompt = self.tts._build_assistant_text(row["text"])
        ids = self.tts._tokenize_texts([prompt])[0][0, :-5].tolist()
        codes = torch.tensor(row["audio_codes"])
        words, frames = len(ids) - 3, len(codes)
        text = (ids[:3] + [top.tts_pad_token_id] * 4 + [top.tts_bos_token_id] + ids[3:]
                + [top.tts_eos_token_id] + [top.tts_pad_token_id] * (frames + 2))
        first = 10 + words
        codec = torch.zeros(len(text), codes.shape[1], dtype=torch.long)
        codec[3:first, 0] = torch.tensor(
            [talker.codec_nothink_id, talker.codec_think_bos_id, talker.codec_think_eos_id, 0]
            + [talker.codec_pad_id] * (words + 2) + [talker.codec_bos_id])
        codec[first:-1] = codes
        codec[-1, 0] = talker.codec_eos_token_id
        return torch.tensor(text), codec, first

    def cross_entropies(self, row, speaker):
        """{term: [labels]} of one prepared row, by upstream's modules."""
        text, codec, first = self.sequence(row)
        codes, talker = codec[first:-1], self.talker
        tables = talker.code_predictor.get_input_embeddings()
        tracks = talker.model.codec_embedding(codec[:, 0])
        tracks = torch.cat([torch.zeros_like(tracks[:3]), tracks[3:6], speaker[None], tracks[7:]])
        groups = sum(tables[i - 1](codes[:, i]) for i in range(1, codes.shape[1]))
        inputs = talker.text_projection(talker.model.text_embedding(text)) + tracks
        inputs = inputs + F.pad(groups, (0, 0, first, 1))
        out = talker(inputs_embeds=inputs[None, :-1], output_hidden_states=True, labels=None,
                     attention_mask=torch.ones(1, len(text) - 1, dtype=torch.long))
        hidden = out.hidden_states[0][-1][0, first - 1:-1]  # what predicts each frame
        logits, _ = talker.forward_sub_talker_finetune(codes, hidden)
        labels = {"talker": codec[first:, 0], "sub_talker": codes[:, 1:].flatten()}
        scores = {"talker": out.logits[0, first - 1:], "sub_talker": logits.flatten(0, 1)}
        return {term: F.cross_entropy(scores[term].float(), labels[term], reduction="none")
                for term in WEIGHTS}

    @torch.no_grad()
    def losses(self, row, speaker):
        """{term: (summed cross entropy, labels)} of one prepared row."""
        return summed(self.cross_entropies(row, speaker))

    def train(self, rows, steps, learning_rate):
        """Steps of AdamW, as upstream sets it up, on all rows; the loss before each."""
        return adamw_steps(self.talker.parameters(),
                           lambda: [self.cross_entropies(row, vector) for row, vector in rows],
                           WEIGHTS, steps, learning_rate)

    def greedy(self, text, speaker, frames):
        """generate_custom_voice without sampling: codes [frames, groups] and the wave."""
        generate, kept = self.model.generate, []

        def keep_codes(*arguments, **options):
            result = generate(*arguments, **options)
            kept.extend(result[0])
            return result

        self.model.generate = keep_codes
        try:  # the last sampled code of codebook 0 gets no frame
            waves, _ = self.tts.generate_custom_voice(
                text=text, speaker=speaker, do_sample=False, subtalker_dosample=False,
                max_new_tokens=frames + 1)
        finally:
            del self.model.generate
        return kept[0].numpy(), np.asarray(waves[0])


class Adapted(Upstream):
    """A released folder with a LoRA adapter beside it, put on by PEFT and not merged."""

    def __init__(self, folder, adapter):
        super().__init__(folder)
        self.adapter = Adapter(self.model, adapter)
