"""Upstream's side for IndexTTS2: what index-tts and PEFT make of folders and clips."""
import contextlib
import json
import logging
import os
import sys
import warnings
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
import torch.nn.functional as F
import torchaudio
import transformers
from omegaconf import OmegaConf
from safetensors.torch import load_model

from upstream.compare import adamw_steps, require_same_tensors, summed

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
with contextlib.redirect_stdout(sys.stderr):
    import indextts.gpt.model_v2 as gpt_module
    from indextts.utils.checkpoint import load_checkpoint
    from indextts.utils.front import TextTokenizer
    from indextts.utils.maskgct.models.codec.kmeans.repcodec_model import RepCodec

RATE = 16000
LONGEST_REFERENCE = 15  # seconds
LAYER = 17  # of w2v-BERT
WIDTH = 1024  # of w2v-BERT in the release; upstream passes it as the number of frames
WEIGHTS = {"text": 0.2, "mel": 0.8}
PENALTY = 10.0  # of repetition, upstream's default


def encoder_width(folder):
    """Of w2v-BERT."""
    file = folder / "hf_cache/w2v-bert-2.0/config.json"
    return json.loads(file.read_text(encoding="utf-8"))["hidden_size"]


def make_gpt(folder, config):
    """UnifiedVoice with the checkpoint's sizes; three of the release's stand in its source."""
    file = folder / config.gpt_checkpoint
    emotion = torch.load(file, weights_only=True)["emo_perceiver_encoder.latents"].shape[1]
    conformer, perceiver = gpt_module.ConformerEncoder, gpt_module.PerceiverResampler

    def make_perceiver(width, num_latents=32, **options):
        width = emotion if num_latents == 1 else width  # the emotion's has one latent
        return perceiver(width, num_latents=num_latents, **options)

    gpt_module.ConformerEncoder = lambda **options: conformer(
        **{**options, "input_size": encoder_width(folder)})
    gpt_module.PerceiverResampler = make_perceiver
    try:
        gpt = gpt_module.UnifiedVoice(**config.gpt)
    finally:
        gpt_module.ConformerEncoder, gpt_module.PerceiverResampler = conformer, perceiver
    gpt.emovec_layer = torch.nn.Linear(emotion, config.gpt.model_dim)
    return gpt


class Upstream:
    """A folder in the released layout, its GPT loaded by upstream's load_checkpoint."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.config = OmegaConf.load(self.folder / "config.yaml")
        self.gpt = make_gpt(self.folder, self.config)
        self.file = self.folder / self.config.gpt_checkpoint
        load_checkpoint(self.gpt, str(self.file))
        self.gpt.eval()
        self.tokenizer = TextTokenizer(str(self.folder / self.config.dataset.bpe_model))

    def stored(self):
        return torch.load(self.file, weights_only=True)

    def count_tensors(self):
        """Proves that the GPT holds exactly the tensors of gpt.pth."""
        return require_same_tensors("gpt.pth", self.gpt.state_dict(), self.stored())

    def ids(self, text):
        return self.tokenizer.convert_tokens_to_ids(self.tokenizer.tokenize(text))

    # Losses.

    def cross_entropies(self, pair):
        """{term: [labels]} by upstream's modules; each state predicts the token that follows.

        pair: text and codes of a clip, condition and emotion of another one.
        """
        gpt, still = self.gpt, torch.zeros(1, dtype=torch.long)
        tracks, labels = [], []
        for name, start, stop in (("text", gpt.start_text_token, gpt.stop_text_token),
                                  ("mel", gpt.start_mel_token, gpt.stop_mel_token)):
            ids = F.pad(pair[name].long()[None], (0, 1), value=stop)
            inputs, targets = gpt.build_aligned_inputs_and_targets(ids, start, stop)
            table, positions = (getattr(gpt, f"{name}_{kind}")
                                for kind in ("embedding", "pos_embedding"))
            tracks.append(table(inputs) + positions(inputs))
            labels.append(targets[0, :-1])
        prefix = torch.cat([pair["condition"] + pair["emotion"], gpt.speed_emb(still + 1),
                            gpt.speed_emb(still)])
        text, mel = gpt.get_logits(prefix[None], tracks[0], gpt.text_head, tracks[1], gpt.mel_head)
        return {"text": F.cross_entropy(text[0, :, :-1].T, labels[0], reduction="none"),
                "mel": F.cross_entropy(mel[0, :, :-1].T, labels[1], reduction="none")}

    @torch.no_grad()
    def losses(self, pair):
        """{term: (summed cross entropy, labels)} of a pair."""
        return summed(self.cross_entropies(pair))

    def train(self, pairs, steps, learning_rate):
        """Steps of AdamW on all pairs; the loss before each."""
        return adamw_steps(self.gpt.parameters(),
                           lambda: [self.cross_entropies(pair) for pair in pairs],
                           WEIGHTS, steps, learning_rate)


class Encoders:
    """w2v-BERT and the semantic codec of a folder, as upstream's preparation and infer use them."""

    def __init__(self, upstream):
        cache = upstream.folder / "hf_cache"
        bert = cache / "w2v-bert-2.0"
        self.extractor = transformers.SeamlessM4TFeatureExtractor.from_pretrained(bert)
        self.semantic = transformers.Wav2Vec2BertModel.from_pretrained(bert).eval()
        moments = torch.load(upstream.folder / upstream.config.w2v_stat, weights_only=True)
        self.mean, self.deviation = moments["mean"], torch.sqrt(moments["var"])
        self.codec = RepCodec(cfg=upstream.config.semantic_codec).eval()
        load_model(self.codec, str(cache / "semantic_codec_model.safetensors"))
        self.upstream = upstream

    @torch.no_grad()
    def features(self, wave):
        """[1, T, D] and the number of frames that are no padding, of a wave at 16 kHz."""
        inputs = self.extractor([np.asarray(wave)], sampling_rate=RATE, return_tensors="pt")
        states = self.semantic(**inputs, output_hidden_states=True).hidden_states[LAYER]
        return (states - self.mean) / self.deviation, inputs["attention_mask"].sum(1)

    @torch.no_grad()
    def prepare(self, file, text):
        """The four arrays that upstream's preparation writes of a clip."""
        wave, rate = soundfile.read(file, dtype="float32")
        wave = torch.from_numpy(wave)
        for wanted in (24000, RATE):
            wave = torchaudio.functional.resample(wave, rate, wanted)
            rate = wanted
        features, frames = self.features(wave)
        codes, gpt = self.codec.quantize(features)[0], self.upstream.gpt
        return {"codes": codes.reshape(-1), "text_ids": torch.tensor(self.upstream.ids(text)),
                "condition": gpt.get_conditioning(features.transpose(1, 2), frames)[0],
                "emo_vec": gpt.get_emovec(features, frames)[0]}

    def reference(self, file):
        """Features of a recording as IndexTTS2.infer takes it for the voice and for the emotion."""
        wave, rate = librosa.load(file)
        wave = torch.from_numpy(wave[:LONGEST_REFERENCE * rate])
        emotion, _ = librosa.load(file, sr=RATE)
        return (self.features(torchaudio.transforms.Resample(rate, RATE)(wave))[0],
                self.features(emotion[:LONGEST_REFERENCE * RATE])[0])


@torch.no_grad()
def generated(upstream, features, text, beams, frames):
    """Codes of UnifiedVoice.inference_speech as infer calls it, but the likeliest each time.

    features: of voice and emotion; upstream's GPT can do nothing else afterwards.
    """
    voice, emotion = features
    lengths = torch.tensor([WIDTH])
    with contextlib.redirect_stdout(open(os.devnull, "w", encoding="utf-8")):
        upstream.gpt.post_init_gpt2_config(kv_cache=True)
        vector = upstream.gpt.merge_emovec(voice, emotion, lengths, lengths, alpha=1.0)
        codes, _ = upstream.gpt.inference_speech(
            voice, torch.tensor([upstream.ids(text)], dtype=torch.int32), emotion,
            cond_lengths=lengths, emo_cond_lengths=lengths, emo_vec=vector, do_sample=False,
            num_return_sequences=1, length_penalty=0.0, num_beams=beams,
            repetition_penalty=PENALTY, max_generate_length=frames)
    codes = codes[0].tolist()
    stop = upstream.gpt.stop_mel_token
    return np.array(codes[:codes.index(stop)] if stop in codes else codes)
