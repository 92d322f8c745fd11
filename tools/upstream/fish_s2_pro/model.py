"""Upstream's modules of a Fish S2 Pro folder, at the sizes of its tensors."""
import json
import math

import numpy as np
import torch
import torch.nn.functional as F
from fish_speech.content_sequence import TextPart, VQPart
from fish_speech.conversation import Conversation, Message
from fish_speech.datasets.protos.text_data_stream import read_pb_stream
from fish_speech.models.dac.modded_dac import DAC, ModelArgs, WindowLimitedTransformer
from fish_speech.models.dac.rvq import DownsampleResidualVectorQuantize
from fish_speech.models.text2semantic import llama
from fish_speech.models.text2semantic.inference import decode_one_token_ar, generate_long
from fish_speech.models.text2semantic.lora import LoraConfig, setup_lora

from upstream.compare import adamw_steps, summed

WEIGHTS = {"base": 1.0, "semantic": 1.0}
RATE = 44100


def load_dac(folder):
    """Upstream's DAC; its sizes stand in no file, so they are read off the tensors."""
    state = torch.load(folder / "codec.pth", map_location="cpu", weights_only=True)
    dims = folder / "ttsft_dims.json"
    heads = json.loads(dims.read_text())["codec"] if dims.exists() else {}
    head = heads.get("quantizer_transformer_head_dim", 64)
    latent, width = state["quantizer.pre_module.norm.weight"].shape[0], state[
        "decoder.model.0.conv.parametrizations.weight.original1"].shape[0]

    def layers(prefix):
        names = [name for name in state if name.startswith(prefix) and name.endswith("wo.weight")]
        return len(names)

    def transformer():
        ffn = state["quantizer.pre_module.layers.0.feed_forward.w1.weight"].shape[0]
        args = ModelArgs(block_size=2048, n_layer=layers("quantizer.pre_module.layers."),
                         n_head=latent // head, dim=latent, intermediate_size=ffn,
                         n_local_heads=-1, head_dim=head, rope_base=10000, norm_eps=1e-5,
                         dropout_rate=0.1, attn_dropout_rate=0.1, channels_first=True)
        return WindowLimitedTransformer(causal=True, window_size=128, input_dim=latent, config=args)

    quantizer = DownsampleResidualVectorQuantize(
        input_dim=latent, n_codebooks=9, codebook_size=1024, codebook_dim=8, quantizer_dropout=0.5,
        downsample_factor=[2, 2], pre_module=transformer(), post_module=transformer(),
        semantic_codebook_size=4096)

    def general(**own):
        return ModelArgs(**{"block_size": 8192, "n_local_heads": -1, "rope_base": 10000,
                            "head_dim": heads.get("encoder_transformer_head_dim", 64),
                            "norm_eps": 1e-5, "dropout_rate": 0.1, "attn_dropout_rate": 0.1,
                            "channels_first": True, **own})

    codec = DAC(encoder_dim=state["encoder.block.0.conv.bias"].shape[0], encoder_rates=[2, 4, 8, 8],
                decoder_dim=width, decoder_rates=[8, 8, 4, 2], quantizer=quantizer,
                encoder_transformer_layers=[0, 0, 0, layers("encoder.block.4.block.5.layers.")],
                decoder_transformer_layers=[0, 0, 0, 0], transformer_general_config=general,
                sample_rate=RATE)
    buffers = ("causal_mask", "freqs_cis")
    weights = {name: value for name, value in state.items() if not name.endswith(buffers)}
    missing, unknown = codec.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith(buffers)]
    assert not missing and not unknown, (missing, unknown)
    return codec.eval()


class Upstream:
    """What a folder holds, as upstream loads it."""

    def __init__(self, folder):
        self.folder = folder
        self.model = llama.DualARTransformer.from_pretrained(str(folder), load_weights=True)
        self.model = self.model.float().eval()
        self.tokenizer = self.model.tokenizer
        self._codec = None

    @property
    def codec(self):
        if self._codec is None:
            self._codec = load_dac(self.folder)
        return self._codec

    def stored_names(self):
        """Names that from_pretrained found no place for, and places that got nothing."""
        file = self.folder / "model.safetensors.index.json"
        names = json.loads(file.read_text())["weight_map"]
        remapped = llama._remap_fish_qwen3_omni_keys(dict.fromkeys(names))
        return set(remapped), set(dict(self.model.named_parameters()))

    @torch.no_grad()
    def encode(self, wave):
        codes, lengths = self.codec.encode(wave[None], torch.tensor([len(wave)]))
        return codes[0, :, :lengths[0]]

    @torch.no_grad()
    def wave(self, codes):
        return self.codec.from_indices(codes[None].clone())[0, 0]

    # Training: upstream's own forward, with the division that its inference has and it lacks.

    def embed(self, inputs):
        config = self.model.config
        x = llama.BaseTransformer.embed(self.model, inputs)
        frames = ((inputs[:, 0] >= config.semantic_begin_id)
                  & (inputs[:, 0] <= config.semantic_end_id))
        return torch.where(frames[..., None], x / math.sqrt(config.num_codebooks + 1), x)

    def conversation(self, text, codes):
        system = TextPart(text="convert the provided text to speech", cal_loss=False)
        messages = [Message(role="system", parts=[system], cal_loss=False),
                    Message(role="user", parts=[TextPart(text=text, cal_loss=False)],
                            cal_loss=False),
                    Message(role="assistant", parts=[VQPart(codes=codes, cal_loss=True)],
                            cal_loss=True, modality="voice")]
        return Conversation(messages)

    def cross_entropies(self, row, folder):
        """{term: the values of its labels} of a prepared row."""
        codes = torch.from_numpy(np.load(folder / row["npy"])).int()
        text = row["text"] if "<|speaker:" in row["text"] else f"<|speaker:0|>{row['text']}"
        # Conversation.encode hands on an argument that nobody takes.
        content = self.conversation(text, codes).to_content_sequence()
        encoded = content.encode(self.tokenizer, add_shift=False)
        tokens, labels = encoded.tokens, encoded.labels
        config = self.model.config
        rows = torch.zeros(1, config.num_codebooks + 1, len(tokens), dtype=torch.int)
        rows[0, 0] = tokens
        frames = (tokens >= config.semantic_begin_id) & (tokens <= config.semantic_end_id)
        rows[0, 1:, frames] = codes
        wanted = torch.full_like(rows, -100)
        wanted[0, 0] = labels
        wanted[0, 1:, frames] = codes
        rows, wanted = rows[..., :-1], wanted[..., 1:].long()
        self.model.embed = self.embed
        result = self.model(inp=rows, labels=wanted,
                            key_padding_mask=torch.zeros(1, rows.shape[-1], dtype=torch.bool))
        del self.model.embed
        said = wanted[0, 0] != -100
        base = F.cross_entropy(result.token_logits[0, said], wanted[0, 0, said], reduction="none")
        spoken = ((wanted[0, 0] >= config.semantic_begin_id)
                  & (wanted[0, 0] <= config.semantic_end_id))
        semantic = F.cross_entropy(result.codebook_logits.flatten(0, 1),
                                   wanted[0, 1:, spoken].T.flatten(), reduction="none")
        return {"base": base, "semantic": semantic}

    def train(self, rows, folder, steps, rate):
        parameters = [p.requires_grad_(True) for p in self.model.parameters()]
        self.model.train()
        self.model.config.use_gradient_checkpointing = False
        losses = adamw_steps(parameters, lambda: [self.cross_entropies(r, folder) for r in rows],
                             WEIGHTS, steps, rate)
        self.model.eval()
        return losses

    @torch.no_grad()
    def losses(self, rows, folder):
        return {row["id"]: summed(self.cross_entropies(row, folder)) for row in rows}

    # Speech.

    def greedy(self, text, frames):
        """Codes [F, 10]; one frame more is asked for, since upstream drops the last."""
        self.model._cache_setup_done = False
        said = [part.codes for part in generate_long(
            model=self.model, device="cpu", decode_one_token=decode_one_token_ar, text=text,
            max_new_tokens=frames + 1, top_k=1) if part.action == "sample"]
        return torch.cat(said, 1).T

    def wear_loralib(self, file, rank, alpha):
        """The adapter as upstream's merge tool puts it on; strictly."""
        setup_lora(self.model, LoraConfig(r=rank, lora_alpha=alpha,
                                          target_modules=["attention", "mlp", "output"]))
        state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
        adapter = {name.removeprefix("model."): value for name, value in state.items()}
        base = {k: v for k, v in self.model.state_dict().items() if "lora" not in k}
        self.model.load_state_dict(base | adapter, strict=True)
        self.model.eval()  # merges
        return len(adapter)


def read_packed(file):
    with open(file, "rb") as stream:
        return list(read_pb_stream(stream))
