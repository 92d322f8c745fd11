"""Comparisons of what ttsft wrote or reported with what upstream computes."""
import json
from pathlib import Path

import librosa
import numpy as np
from safetensors.torch import load_file

from upstream.harness import Mismatch
from upstream.model import mean_losses

FRAMES = 12  # of speech in each comparison of generation
LOSS_TOLERANCE = 1e-4  # of two float32 implementations
WAVE_TOLERANCE = 1e-3


def within(what, got, want, tolerance):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        raise Mismatch(f"{what}: shape {got.shape}, upstream {want.shape}")
    difference = np.abs(got - want).max(initial=0)
    if not difference <= tolerance:
        raise Mismatch(f"{what}: differs by {difference:.3g} from upstream, allowed {tolerance:g}")
    return difference


def equal_codes(what, got, want):
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise Mismatch(f"{what}: {got.shape} codes, upstream {want.shape}")
    places = np.argwhere(got != want)
    if len(places):
        frame, group = places[0]
        raise Mismatch(f"{what}: {len(places)} of {got.size} codes differ, first in frame {frame},"
                       f" codebook {group}: {got[frame, group]}, upstream {want[frame, group]}")
    return got.size


def compare_losses(what, reported, upstream, rows):
    """A row of ttsft's report against upstream's modules: the whole, then every clip.

    rows: prepared rows, each with its speaker vector.
    """
    losses = {Path(row["audio"]).stem: upstream.losses(row, vector) for row, vector in rows}
    clips = {clip["id"]: clip for clip in reported["utterances"]}
    if clips.keys() != losses.keys():
        raise Mismatch(f"{what}: clips {sorted(clips)}, upstream {sorted(losses)}")
    whole = mean_losses(losses.values())
    worst = compare_row(what, reported, whole)
    for name, loss in losses.items():
        worst = max(worst, compare_row(f"{what}, clip {name}", clips[name], mean_losses([loss])))
    labels = sum(count for loss in losses.values() for _, count in loss.values())
    if reported["tokens"] != labels:
        raise Mismatch(f"{what}: {reported['tokens']} supervised tokens, upstream {labels}")
    return whole["loss"], worst


def compare_row(what, got, want):
    worst = within(f"{what}: loss", got["loss"], want["loss"], LOSS_TOLERANCE)
    for term, value in want["loss_terms"].items():
        difference = within(f"{what}: {term}", got["loss_terms"][term], value, LOSS_TOLERANCE)
        worst = max(worst, difference)
    return worst


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


def tell_losses(before, after):
    if not after[0] < before[0] - 1e-3:
        raise Mismatch(f"training did not lower the loss: {before[0]:.5f} to {after[0]:.5f}")
    return (f"loss {before[0]:.5f} before and {after[0]:.5f} after, all terms and clips within"
            f" {max(before[1], after[1]):.1e}")


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
