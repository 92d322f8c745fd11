"""What only Qwen3-TTS has to compare: its speech and its config.json."""
import json

import librosa
from safetensors.torch import load_file

from upstream.compare import equal_codes, within
from upstream.harness import Mismatch

FRAMES = 12  # of speech in each comparison of generation
WAVE_TOLERANCE = 1e-3


def compare_speech(run, upstream, text, voice, *flags):
    """Greedy codes and wave of ttsft synth against upstream's generate_custom_voice."""
    wave_file, codes_file = run.folder / "speech.wav", run.folder / "speech.safetensors"
    run("synth", "--greedy", "--text", text, "--max-frames", FRAMES, "--out", wave_file,
        "--codes-out", codes_file, "--checkpoint", "last", "--set", f"data.speaker={voice}", *flags)
    codes, wave = upstream.greedy(text, voice, FRAMES)
    count = equal_codes("greedy generation", load_file(codes_file)["codes"], codes)
    got, _ = librosa.load(wave_file, sr=None)
    difference = within("wave", got, wave, WAVE_TOLERANCE)
    return f"{count} greedy codes equal, wave within {difference:.1e}"


def require_custom_voice(folder, base, voices):
    """The base's config.json with upstream's three changes, and no other.

    Names stand in lower case, or upstream would not find them.
    """
    want = json.loads((base / "config.json").read_text(encoding="utf-8"))
    want["tts_model_type"] = "custom_voice"
    names = [voice.lower() for voice in voices]
    want["talker_config"]["spk_id"] = {name: 3000 + i for i, name in enumerate(names)}
    want["talker_config"]["spk_is_dialect"] = dict.fromkeys(names, False)
    if json.loads((folder / "config.json").read_text(encoding="utf-8")) != want:
        raise Mismatch(f"{folder.name}/config.json is not the base's with upstream's three changes")
