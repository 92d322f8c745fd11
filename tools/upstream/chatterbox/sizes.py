"""Gives upstream's classes the sizes of a checkpoint, which the release writes into its source."""
import json
import re

import chatterbox.models.s3gen.s3gen as s3gen
import chatterbox.models.s3gen.transformer.upsample_encoder as flow_encoder
import chatterbox.models.s3gen.xvector as xvector
import chatterbox.models.t3.modules.cond_enc as cond_enc
import s3tokenizer.model_v2 as s3tokenizer
from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS
from chatterbox.models.t3.modules.t3_config import T3Config
from chatterbox.models.voice_encoder.config import VoiceEncConfig
from safetensors import safe_open

RELEASE = {  # what tensors' shapes do not tell
    "t3.num_attention_heads": 16, "t3.num_key_value_heads": 16, "t3.head_dim": 64,
    "t3.speech_cond_prompt_len": 150, "s3tokenizer.n_audio_head": 20,
    "s3gen.decoder.num_heads": 8, "s3gen.decoder.attention_head_dim": 64}


class Shapes:
    """Of the tensors in a safetensors file."""

    def __init__(self, file):
        with safe_open(file, "pt") as tensors:
            self.shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}

    def __getitem__(self, name):
        return self.shapes[name]

    def count(self, prefix):
        """Members of a list of modules."""
        found = (re.match(rf"{re.escape(prefix)}\.(\d+)\.", name) for name in self.shapes)
        return len({match[1] for match in found if match})


def construct_with(module, name, **sizes):
    """Whoever makes module.name gets these arguments in place of the release's."""
    original = getattr(module, name)
    setattr(module, name, lambda *words, **options: original(*words, **{**options, **sizes}))


def shrink_t3(shapes, dims):
    text, width = shapes["text_emb.weight"]
    LLAMA_CONFIGS["Llama_520M"].update(
        hidden_size=width, num_hidden_layers=shapes.count("tfmr.layers"),
        intermediate_size=shapes["tfmr.layers.0.mlp.gate_proj.weight"][0],
        **{key: dims[f"t3.{key}"]
           for key in ("num_attention_heads", "num_key_value_heads", "head_dim")})
    queries = shapes["cond_enc.perceiver.pre_attention_query"][1]
    construct_with(cond_enc, "Perceiver", pre_attention_query_token=queries,
                   pre_attention_query_size=width, embedding_dim=width)

    def english_only(cls):
        config = cls(text_tokens_dict_size=text)
        config.max_text_tokens = shapes["text_pos_emb.emb.weight"][0] - 2
        config.max_speech_tokens = shapes["speech_pos_emb.emb.weight"][0] - 4
        config.speech_tokens_dict_size = shapes["speech_emb.weight"][0]
        config.speaker_embed_size = shapes["cond_enc.spkr_enc.weight"][1]
        config.speech_cond_prompt_len = dims["t3.speech_cond_prompt_len"]
        return config

    T3Config.english_only = classmethod(english_only)


def shrink_s3gen(shapes, dims):
    state, heads = shapes["tokenizer.encoder.conv1.weight"][0], dims["s3tokenizer.n_audio_head"]
    defaults = s3tokenizer.S3TokenizerV2.__init__.__defaults__[0]
    defaults.n_audio_state, defaults.n_audio_head = state, heads
    defaults.n_audio_layer = shapes.count("tokenizer.encoder.blocks")
    rotation = s3tokenizer.precompute_freqs_cis  # upstream writes the head's width, 64
    s3tokenizer.precompute_freqs_cis = lambda _, length: rotation(state // heads, length)

    block, blocks, _, bands = xvector.FCM.__init__.__defaults__
    xvector.FCM.__init__.__defaults__ = (
        block, blocks, shapes["speaker_encoder.head.conv1.weight"][0], bands)
    dense = "speaker_encoder.xvector.block1.tdnnd1"
    growth = shapes[f"{dense}.cam_layer.linear_local.weight"][0]
    construct_with(s3gen, "CAMPPlus", growth_rate=growth,
                   bn_size=shapes[f"{dense}.linear1.weight"][0] // growth,
                   init_channels=shapes["speaker_encoder.xvector.tdnn.linear.weight"][0])

    inner, width = shapes["flow.encoder.encoders.0.feed_forward.w_1.weight"]
    construct_with(flow_encoder, "PreLookaheadLayer", channels=width)
    construct_with(flow_encoder, "Upsample1D", channels=width, out_channels=width)
    encoder = s3gen.UpsampleConformerEncoder

    def make_encoder(**options):
        heads = shapes["flow.encoder.encoders.0.self_attn.pos_bias_u"][0]
        made = encoder(**{**options, "input_size": width, "output_size": width,
                          "linear_units": inner, "attention_heads": heads,
                          "num_blocks": shapes.count("flow.encoder.encoders")})
        made.up_encoders = made.up_encoders[:shapes.count("flow.encoder.up_encoders")]
        return made

    s3gen.UpsampleConformerEncoder = make_encoder
    unet = "flow.decoder.estimator"
    construct_with(s3gen, "ConditionalDecoder",
                   channels=[shapes[f"{unet}.final_proj.weight"][1]],
                   n_blocks=shapes.count(f"{unet}.down_blocks.0.1"),
                   num_mid_blocks=shapes.count(f"{unet}.mid_blocks"),
                   num_heads=dims["s3gen.decoder.num_heads"],
                   attention_head_dim=dims["s3gen.decoder.attention_head_dim"])
    construct_with(s3gen, "CausalMaskedDiffWithXvec", input_size=width)
    construct_with(s3gen, "HiFTGenerator", base_channels=shapes["mel2wav.conv_pre.bias"][0])
    construct_with(s3gen, "ConvRNNF0Predictor",
                   cond_channels=shapes["mel2wav.f0_predictor.classifier.weight"][1])


def use_sizes_of(folder):
    """Everything that upstream constructs from here on has the sizes of this checkpoint."""
    file = folder / "ttsft_dims.json"
    dims = {**RELEASE, **(json.loads(file.read_text()) if file.is_file() else {})}
    VoiceEncConfig.speaker_embed_size, VoiceEncConfig.ve_hidden_size = \
        Shapes(folder / "ve.safetensors")["proj.weight"]
    shrink_t3(Shapes(folder / "t3_cfg.safetensors"), dims)
    shrink_s3gen(Shapes(folder / "s3gen.safetensors"), dims)
