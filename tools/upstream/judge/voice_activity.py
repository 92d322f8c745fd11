"""Writes tests/fixtures/voice_activity.json: what the Python package silero-vad 6.2.3 hears in the
bundled sentences, joined with silences. Run: python voice_activity.py (needs silero-vad, soundfile)."""
import json
import pathlib

import numpy
import soundfile
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

FIXTURES = pathlib.Path(__file__).parents[3] / "tests/fixtures"
NAMES = ["austen-0880", "austen-0930", "austen-0890"]

pieces = []
for name in NAMES:
    samples, rate = soundfile.read(FIXTURES / "austen/wavs" / f"{name}.wav", dtype="float32")
    pieces += [numpy.zeros(rate // 2, numpy.float32), samples]
wave = torch.from_numpy(numpy.concatenate(pieces))
model = load_silero_vad(onnx=False)
model.reset_states()
probabilities = []
for first in range(0, len(wave), 512):
    window = wave[first:first + 512]
    window = torch.nn.functional.pad(window, (0, 512 - len(window)))
    probabilities.append(round(model(window, 16000).item(), 6))
spans = get_speech_timestamps(wave, model, speech_pad_ms=0)
(FIXTURES / "voice_activity.json").write_text(json.dumps({
    "names": NAMES,
    "silence_samples": 8000,
    "probabilities": probabilities,
    "spans": [[span["start"], span["end"]] for span in spans],
}) + "\n")
