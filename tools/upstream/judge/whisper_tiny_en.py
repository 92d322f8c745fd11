"""Writes tests/fixtures/whisper_tiny_en.json: what CTranslate2's own Whisper makes of the bundled sentences with the
weights of Whisper tiny.en, greedily.
Run: python whisper_tiny_en.py FOLDER (needs ctranslate2 4.8.5, transformers 5.24.0, tokenizers, soundfile; FOLDER:
config.json, model.bin, tokenizer.json, vocabulary.txt)."""
import json
import pathlib
import sys

import ctranslate2
import soundfile
import tokenizers
import transformers

FIXTURES = pathlib.Path(__file__).parents[3] / "tests/fixtures"


def main(folder):
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    model = ctranslate2.models.Whisper(folder, device="cpu", compute_type="float32")
    prompt = ["<|startoftranscript|>", "<|notimestamps|>"]
    clips = {}
    for file in sorted((FIXTURES / "austen/wavs").glob("*.wav")):
        wave, rate = soundfile.read(file, dtype="float32")
        features = extractor(wave, sampling_rate=rate, return_tensors="np").input_features
        result = model.generate(ctranslate2.StorageView.from_array(features),
                                [[tokenizer.token_to_id(token) for token in prompt]], beam_size=1,
                                return_scores=True, return_no_speech_prob=True)[0]
        tokens = [token for token in result.sequences_ids[0] if token != tokenizer.token_to_id("<|endoftext|>")]
        clips[file.stem] = {"tokens": tokens, "text": tokenizer.decode(tokens).strip(),
                            "score": round(result.scores[0], 6), "no_speech": round(result.no_speech_prob, 8)}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(clip)}" for name, clip in clips.items())
    (FIXTURES / "whisper_tiny_en.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
