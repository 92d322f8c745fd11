"""Upstream's modules of a Voxtral TTS folder: vllm-omni's, and the blocks of mistral-inference."""
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
import torch.nn.functional as F
from mistral_common.protocol.speech.request import SpeechRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from safetensors.torch import load_file
from torch import nn

from upstream.compare import adamw_steps, summed
from upstream.voxtral.stand_ins import copy_weight, stand_ins

logging.disable(logging.WARNING)
with stand_ins():
    from mistral_inference.rope import precompute_freqs_cis
    from mistral_inference.transformer_layers import RMSNorm, TransformerBlock
    from vllm_omni.model_executor.models.voxtral_tts import voxtral_tts_audio_generation as serving
    from vllm_omni.model_executor.models.voxtral_tts.voxtral_tts_audio_tokenizer import (
        VoxtralTTSAudioTokenizer)
    from vllm_omni.transformers_utils.parsers.voxtral_tts import _remap_voxtral_tts_audio_args

WEIGHTS = {"semantic": 1.0, "acoustic": 1.0}
RELEASE, ENCODER = "consolidated.safetensors", "voxtral_encoder.safetensors"
SPECIAL = len(serving.AudioSpecialTokens)  # tokens before the codes
END = serving.AudioSpecialTokens.id(serving.AudioSpecialTokens.end_audio)
GUIDANCE = 1.2  # when a request names none


class Backbone(nn.Module):
    """Blocks of mistral-inference on embeddings; its own Transformer takes ids and has a head."""

    def __init__(self, params):
        super().__init__()
        self.head_dim, self.theta = params["head_dim"], params["rope_theta"]
        sizes = {name: params[name] for name in ("dim", "hidden_dim", "n_heads", "n_kv_heads",
                                                 "head_dim", "norm_eps")}
        self.tok_embeddings = nn.Embedding(params["vocab_size"], params["dim"])
        self.layers = nn.ModuleList(TransformerBlock(**sizes) for _ in range(params["n_layers"]))
        self.norm = RMSNorm(params["dim"], params["norm_eps"])

    def load_weights(self, weights):
        places = dict(self.named_parameters())
        for name, value in weights:
            copy_weight(places[name], value)
            yield name

    def forward(self, rows):
        angles = precompute_freqs_cis(self.head_dim, len(rows), self.theta)
        for layer in self.layers:
            rows = layer(rows, angles)
        return self.norm(rows)


class Release(nn.Module):
    """The same modules under the names of the released file."""

    def __init__(self, model):
        super().__init__()
        backbone, codec = model.language_model, model.audio_tokenizer
        self.mm_audio_embeddings = nn.ModuleDict({
            "tok_embeddings": backbone.tok_embeddings,
            "audio_codebook_embeddings": codec.audio_token_embedding})
        self.layers, self.norm = backbone.layers, backbone.norm
        self.acoustic_transformer, self.audio_tokenizer = model.acoustic_transformer, codec


def released(state):
    """Of a Release's state what the files hold: the table of codes once, no computed buffer."""
    return {name: value for name, value in state.items()
            if ".audio_token_embedding." not in name and not name.endswith("inv_freq")}


def is_encoder(name):
    return name.startswith(("audio_tokenizer.input_proj.", "audio_tokenizer.encoder_blocks."))


def stored_tensors(folder):
    """Of the release's file, and of the encoder's, which is none of the release."""
    return load_file(folder / RELEASE), load_file(folder / ENCODER)


class Upstream:
    """What a folder holds, as upstream's own classes load it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        params = json.loads((self.folder / "params.json").read_text(encoding="utf-8"))
        audio = _remap_voxtral_tts_audio_args(params)
        self.speakers = audio["speaker_id"]
        self.tokenizer = MistralTokenizer.from_file(self.folder / "tekken.json").instruct_tokenizer
        config = SimpleNamespace(
            text_config=SimpleNamespace(hidden_size=params["dim"], vocab_size=params["vocab_size"]),
            audio_config=audio)
        vllm = SimpleNamespace(model_config=SimpleNamespace(hf_config=config), quant_config=None)

        def build(vllm_config, architectures=(), **_):
            if "VoxtralTTSAudioTokenizer" in architectures:
                return VoxtralTTSAudioTokenizer(vllm_config=vllm_config)
            return Backbone(params)

        serving.init_vllm_registered_model = build
        serving.cached_tokenizer_from_config = lambda _: SimpleNamespace(instruct=self.tokenizer)
        self.model = serving.VoxtralTTSAudioGenerationForConditionalGeneration(vllm_config=vllm)
        self.model.load_weights((name, value) for tensors in stored_tensors(self.folder)
                                for name, value in tensors.items())
        self.model.float().eval().requires_grad_(False)  # the codebook keeps the file's type
        self.backbone, self.codec = self.model.language_model, self.model.audio_tokenizer
        self.flow = self.model.acoustic_transformer
        self.release = Release(self.model)

    # Prompts and codes.

    def request(self, text, voice):
        """mistral-common's ids and recording; the voice is a name, or a file."""
        own = {"voice": voice} if voice in self.speakers else {
            "ref_audio": Path(voice).read_bytes()}
        said = self.tokenizer.encode_speech_request(SpeechRequest(input=text, **own))
        return said.tokens, [torch.from_numpy(audio.audio_array).float() for audio in said.audios]

    def text_ids(self, text):
        return self.tokenizer.tokenizer.encode(text, bos=False, eos=False)

    def recording(self, file):
        """Samples at the model's rate."""
        return self.request("", file)[1][0]

    @torch.no_grad()
    def encode(self, wave):
        """Codes [frames, 37]."""
        return self.codec._tokenize_audio(wave[None, None])[0].T

    def preset(self, name):
        return torch.load(self.folder / "voice_embedding" / f"{name}.pt", weights_only=True)

    @torch.no_grad()
    def wave(self, codes):
        return self.codec.decode(codes.T[None])[0, 0]

    def prompt(self, text, voice):
        """Embedded, with the voice in place of its tokens."""
        ids, recordings = self.request(text, voice)
        ids = torch.tensor(ids)
        rows = (self.model.embed_multimodal(audio_arrays=recordings)[0] if recordings
                else self.preset(voice).float())
        heard = ids == self.model.audio_tok_id
        assert heard.sum() == len(rows), "as many rows as the prompt has places"
        return self.backbone.tok_embeddings(ids).masked_scatter(heard[:, None], rows)

    def frames(self, tokens):
        """Embedded frames [frames, dim], as they are fed back."""
        return self.model.embed_multimodal(audio_tokens=[tokens[None]])[0]

    # Training: there is no upstream code of the loss; it is made of upstream's modules.

    def terms(self, row, voice, draws):
        """{term: the values of its labels} of a prepared row. draws: x0, t, drop of its frames."""
        codes = torch.tensor(row["codes"])
        rows = torch.cat([self.prompt(row["text"], voice), self.frames(codes + SPECIAL)])
        states = self.backbone(rows)[-len(codes) - 1:]  # each predicts the frame that follows
        last = SPECIAL + self.flow.model_args.semantic_codebook_size
        logits = self.flow.semantic_codebook_output(states).float()[:, END:last]
        labels = torch.cat([codes[:, 0] + SPECIAL, torch.tensor([END])])
        semantic = F.cross_entropy(logits, labels - END, reduction="none")

        noise, t, heard = draws["x0"], draws["t"][:, None], 1 - draws["drop"][:, None]
        values = self.codec.quantizer.acoustic_codebook.decode(codes[:, 1:])
        left = 1 - self.flow.acoustic_transformer_args.sigma
        velocity = self.flow._predict_velocity(
            x_t=(1 - left * t) * noise + t * values,
            llm_proj=self.flow.llm_projection(states[:-1] * heard),
            t_proj=self.flow.time_projection(self.flow.time_embedding(t)))
        acoustic = (velocity - (values - left * noise)).square().mean(1)
        return {"semantic": semantic, "acoustic": acoustic}

    def train(self, parameters, rows, voices, draws, steps, rate):
        """AdamW on these parameters; the loss before each step. draws(id, step): of a row."""
        parameters, step = [value.requires_grad_(True) for value in parameters], iter(range(steps))

        def batch():
            now = next(step) + 1
            return [self.terms(row, voices[row["id"]], draws(row["id"], now)) for row in rows]

        return adamw_steps(parameters, batch, WEIGHTS, steps, rate)

    def trainable(self):
        """All that full training trains, by its released name."""
        frozen = ("audio_tokenizer.", "mm_audio_embeddings.tok_embeddings.")
        return {name: value for name, value in self.release.named_parameters()
                if not name.startswith(frozen)}

    @torch.no_grad()
    def losses(self, rows, voices, draws):
        return {row["id"]: summed(self.terms(row, voices[row["id"]], draws(row["id"])))
                for row in rows}

    # Speech.

    @torch.no_grad()
    def greedy(self, text, voice, noise):
        """Codes [frames, 37], at most as many as there is noise for."""
        rows, said = self.prompt(text, voice), []
        for drawn in noise:
            with mock.patch.object(torch, "randn", lambda *_, **__: drawn[None]):
                end, given = self.model.compute_mm_logits(self.backbone(rows)[-1:],
                                                          torch.tensor([GUIDANCE]))
            if end:
                break
            frame = given["codes"]["audio"][0][0]
            said.append(frame)
            rows = torch.cat([rows, self.frames(frame)])
        return torch.cat(said) - SPECIAL if said else torch.empty(0, 37, dtype=torch.long)
