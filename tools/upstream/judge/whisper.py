"""Writes tests/fixtures/whisper: a tiny random Whisper in the layouts of Hugging Face and of CTranslate2
(float16, and int8), and what transformers makes of it: features, encoder states, logits, tokens.
Run: python whisper.py (needs torch 2.11.0, transformers 5.24.0, tokenizers, ctranslate2 4.8.5, soundfile)."""
import json
import pathlib
import shutil
import tempfile
import zlib

import ctranslate2
import numpy
import soundfile
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.generation.logits_process import (SuppressTokensAtBeginLogitsProcessor, SuppressTokensLogitsProcessor,
                                                    WhisperTimeStampLogitsProcessor)

FIXTURES = pathlib.Path(__file__).parents[3] / "tests/fixtures"
OUT = FIXTURES / "whisper"
SECONDS, POSITIONS = 2, 100  # a window; 20 ms stand at one position
# (clip, first sample, samples) of the rows that are recognised; the first fills its window.
ROWS = [("austen-0870", 8000, 32000), ("austen-0880", 4000, 20800), ("austen-0890", 9000, 11200),
        ("austen-0930", 0, 30400)]
SEED, LIKE_END = 10, 212  # under which the rows say different things, and some of them end
LANGUAGES = ["en", "zh", "de"]


def byte_letters():
    """GPT-2's letters for bytes, in the order of its vocabulary."""
    printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(0x100 + i) for i in range(len(rest))]


def make_tokenizer():
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ġ", "a"), ("i", "n"), ("e", "r"), ("Ġ", "w"), ("o", "u")]
    tokens = byte_letters() + [a + b for a, b in merges] + [""]  # the empty one is upstream's too
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["endoftext", "startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev",
             "nospeech", "notimestamps"]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in names])
    tokenizer.add_tokens([AddedToken(f"<|{0.02 * i:.2f}|>") for i in range(POSITIONS + 1)])
    return tokenizer


def make_model(tokenizer):
    torch.manual_seed(SEED)
    ids = tokenizer.token_to_id
    config = transformers.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=32, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_source_positions=POSITIONS, max_target_positions=64, num_mel_bins=80, init_std=0.25,
        bos_token_id=ids("<|endoftext|>"), eos_token_id=ids("<|endoftext|>"), pad_token_id=ids("<|endoftext|>"),
        decoder_start_token_id=ids("<|startoftranscript|>"), suppress_tokens=None, begin_suppress_tokens=None)
    model = transformers.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases start as ones and zeros, which would prove little
                parameter.add_(0.1 * torch.randn_like(parameter))
        # Tokens shall hang on the place and on what is heard, and rows end at different lengths.
        model.model.decoder.embed_positions.weight *= 3
        for layer in model.model.decoder.layers:
            layer.encoder_attn.out_proj.weight *= 3
        embed = model.model.decoder.embed_tokens.weight
        embed[ids("<|endoftext|>")] = 1.05 * embed[LIKE_END] + 0.1 * embed[ids("<|endoftext|>")]
        model.half().float()
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id, max_length=64, is_multilingual=True,
        lang_to_id={f"<|{name}|>": ids(f"<|{name}|>") for name in LANGUAGES},
        task_to_id={name: ids(f"<|{name}|>") for name in ("translate", "transcribe")},
        no_timestamps_token_id=ids("<|notimestamps|>"), max_initial_timestamp_index=50, return_timestamps=False,
        begin_suppress_tokens=[ids("Ġ"), config.eos_token_id],
        suppress_tokens=[1, 2, 7, 60, 61] + [ids(f"<|{name}|>") for name in
                         ("startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev",
                          "nospeech")])
    return model


def cut(name, first, samples):
    wave, rate = soundfile.read(FIXTURES / "austen/wavs" / f"{name}.wav", dtype="float32")
    assert rate == 16000 and len(wave) >= first + samples, name
    return wave[first:first + samples]


def rows_of(sequences, prompt, end):
    """What was generated, up to the end token, which goes with the rest."""
    rows = []
    for row in sequences.tolist():
        if row[:len(prompt)] == prompt:
            row = row[len(prompt):]
        rows.append(row[:row.index(end)] if end in row else row)
    return rows


def greedy_with_timestamps(model, features, prompt, steps):
    """By the rules that WhisperGenerationMixin.generate puts together, in its order; generate itself goes on with
    another window behind the last timestamp."""
    config = model.generation_config
    rules = [SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, len(prompt)),
             SuppressTokensLogitsProcessor(config.suppress_tokens),
             WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt))]
    ids = torch.tensor([prompt] * len(features))
    for _ in range(steps):
        scores = model(features, decoder_input_ids=ids).logits[:, -1]
        for rule in rules:
            scores = rule(ids, scores)
        ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], 1)
    return ids


def write_model(model, tokenizer, extractor):
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    folder = OUT / "hf"
    model.half().save_pretrained(folder)
    model.float()
    extractor.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>",
            unk_token="<|endoftext|>").save_pretrained(copy)
        for quantization in ("float16", "int8"):
            target = OUT / f"ct2_{quantization}"
            ctranslate2.converters.TransformersConverter(copy).convert(str(target), quantization=quantization)
        shutil.copy(folder / "tokenizer.json", OUT / "ct2_float16")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    extractor = transformers.WhisperFeatureExtractor(feature_size=80, chunk_length=SECONDS)
    write_model(model, tokenizer, extractor)
    waves = [cut(*row) for row in ROWS]
    features = extractor(waves, sampling_rate=16000, return_tensors="pt").input_features
    ids = tokenizer.token_to_id
    end = ids("<|endoftext|>")
    prompt = [ids(f"<|{name}|>") for name in ("startoftranscript", "en", "transcribe", "notimestamps")]
    timed = prompt[:-1]
    text = tokenizer.encode(" the water, in").ids
    decoder_ids = torch.tensor([prompt + text] * len(waves))
    with torch.no_grad():
        encoded = model.model.encoder(features).last_hidden_state
        logits = model(features, decoder_input_ids=decoder_ids).logits
        detected = model.detect_language(features)
        # No timestamps in text without them: generate would seek to them.
        no_stamps = list(range(ids("<|0.00|>"), tokenizer.get_vocab_size()))
        settings = dict(language="en", task="transcribe", max_new_tokens=24,
                        suppress_tokens=model.generation_config.suppress_tokens + no_stamps)
        greedy = model.generate(features, **settings)
        beams = model.generate(features, num_beams=3, **settings)
        stamped = greedy_with_timestamps(model, features, timed, 24)

    tensors = {"features": features[1, :, ::5].contiguous(), "encoded": encoded[1:3].contiguous(),
               "decoder_ids": decoder_ids, "logits": logits[1:3].contiguous()}
    # The released lengths: frames of both ends and of the middle, of a short and of a full window.
    long = numpy.concatenate([cut("austen-0870", 0, 112000), cut("austen-0920", 0, 96000)] * 3)[:480000]
    frames = torch.tensor([0, 1, 2, 3, 700, 701, 1299, 1300, 1301, 2000, 2996, 2997, 2998, 2999])
    for mels in (80, 128):
        released = transformers.WhisperFeatureExtractor(feature_size=mels)
        for name, wave in (("full", long), ("short", long[:208000])):
            made = released(wave, sampling_rate=16000, return_tensors="pt").input_features[0]
            tensors[f"released_{name}_{mels}"] = made[:, frames].contiguous()
    tensors["frames"] = frames
    save_file(tensors, OUT / "expected.safetensors")

    sentences = ["He was not an ill-disposed young man,", "the the the the the the the the the the",
                 "And Mr. John Dashwood had then leisure to consider how much there might be prudently in his power to "
                 "do for them. " * 3, "so so " * 60, "a", "", "unless to be rather cold hearted and rather selfish is "
                 "to be ill-disposed: Had he married a more amiable woman, he might have been made still more "
                 "respectable than he was: he might even have been made amiable himself;", "你好，世界。" * 20]
    expected = {
        "rows": ROWS, "prompt": prompt, "end": end, "timestamps_from": ids("<|0.00|>"),
        "greedy": rows_of(greedy, prompt, end), "beams": rows_of(beams, prompt, end),
        "stamped": rows_of(stamped, timed, end),
        "languages": [tokenizer.id_to_token(i)[2:-2] for i in detected.tolist()],
        "texts": [tokenizer.decode(row) for row in rows_of(greedy, prompt, end)],
        "sentence": {"text": " the water, in", "ids": text},
        "deflated": [[s, len(zlib.compress(s.encode()))] for s in sentences],
    }
    (OUT / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")
    for name in ("greedy", "beams", "stamped", "languages", "texts"):
        print(name, *expected[name], sep="\n  ")


if __name__ == "__main__":
    main()
