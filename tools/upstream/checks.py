"""What tools/check_upstream.py compares; docs/parity.md tells it in words."""
import json
import os
import shutil
import sys
from pathlib import Path

import librosa
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from upstream.harness import Checks, Mismatch, Run, read_rows
from upstream.model import Adapted, Upstream, mean_losses

FRAMES = 12  # of speech in each comparison of generation
SCALE = 0.35  # of the exported adapter
LOSS_TOLERANCE = 1e-4  # of two float32 implementations
WAVE_TOLERANCE = 1e-3
WEIGHT_TOLERANCE = 1e-6
FIELDS = ("audio", "text", "audio_codes", "ref_audio")  # of a row that upstream trains on
VOICE = "Reader_One"  # stored in lower case, or upstream would not find it
LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                           "up_proj", "down_proj"]}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True,
          "targets": r"talker\.(model|code_predictor\.model)\.layers\.\d+\.self_attn\.[qv]_proj"}


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


def compare_losses(what, reported, upstream, rows, speaker):
    """A row of ttsft's report against upstream's modules: every clip, then the whole."""
    losses = [upstream.losses(row, speaker) for row in rows]
    whole = mean_losses(losses)
    clips = [(Path(row["audio"]).stem, mean_losses([loss])) for row, loss in zip(rows, losses)]
    by_id = {clip["id"]: clip for clip in reported["utterances"]}
    if by_id.keys() != {name for name, _ in clips}:
        raise Mismatch(f"{what}: clips {sorted(by_id)}, upstream {sorted(n for n, _ in clips)}")
    worst = 0.0
    for name, got, want in [(what, reported, whole)] + [(f"{what}, clip {name}", by_id[name], want)
                                                       for name, want in clips]:
        for key, value in {"loss": want["loss"], **want["loss_terms"]}.items():
            mine = got["loss"] if key == "loss" else got["loss_terms"][key]
            worst = max(worst, within(f"{name}: {key}", mine, value, LOSS_TOLERANCE))
    labels = sum(count for loss in losses for _, count in loss.values())
    if reported["tokens"] != labels:
        raise Mismatch(f"{what}: {reported['tokens']} supervised tokens, upstream {labels}")
    return whole["loss"], worst


def compare_speech(run, upstream, text, *flags):
    """Greedy codes and wave of ttsft synth against upstream's generate_custom_voice."""
    wave_file, codes_file = run.folder / "speech.wav", run.folder / "speech.safetensors"
    run("synth", "--greedy", "--text", text, "--max-frames", FRAMES, "--out", wave_file,
        "--codes-out", codes_file, "--checkpoint", "last", *flags)
    codes, wave = upstream.greedy(text, VOICE, FRAMES)
    count = equal_codes("greedy generation", load_file(codes_file)["codes"], codes)
    got, _ = librosa.load(wave_file, sr=None)
    difference = within("wave", got, wave, WAVE_TOLERANCE)
    return f"{count} greedy codes equal, wave within {difference:.1e}"


def tell_losses(before, after):
    if not after[0] < before[0] - 1e-3:
        raise Mismatch(f"training did not lower the loss: {before[0]:.5f} to {after[0]:.5f}")
    return (f"loss {before[0]:.5f} before and {after[0]:.5f} after, all terms and clips within"
            f" {max(before[1], after[1]):.1e}")


def require_custom_voice(folder, base):
    """The base's config.json with upstream's three changes, and no other."""
    want = json.loads((base / "config.json").read_text(encoding="utf-8"))
    want["tts_model_type"] = "custom_voice"
    want["talker_config"]["spk_id"] = {VOICE.lower(): 3000}
    want["talker_config"]["spk_is_dialect"] = {VOICE.lower(): False}
    if json.loads((folder / "config.json").read_text(encoding="utf-8")) != want:
        raise Mismatch(f"{folder.name}/config.json is not the base's with upstream's three changes")


def store_in_bf16(checkpoint, folder):
    """A copy of the checkpoint whose model is stored as the release is."""
    shutil.copytree(checkpoint, folder)
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({name: value.to(torch.bfloat16) for name, value in tensors.items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Suite:
    """The checks, and the runs of ttsft that they look at."""

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.expected = arguments.fixture / "expected"
        self.release = arguments.fixture / "checkpoint"
        self.base = Upstream(self.release)
        first = read_rows(self.expected / "prep_in.jsonl")[0]
        self.text, self.reference = first["text"], first["ref_audio"]

    def run(self, name, source, train, data=None, **sections):
        return Run(self.arguments.ttsft, self.arguments.fixture, self.work / name, train=train,
                   data={"source": source, "speaker": VOICE, **(data or {})}, **sections)

    def full_run(self, name, **sections):
        train = {"method": "full", "steps": 3, "optimizer": {"learning_rate": 1e-3}}
        return self.run(name, self.expected / "prep_in.jsonl", train, **sections)

    def lora_run(self, name, lora):
        train = {"method": "lora", "steps": 4, "optimizer": {"learning_rate": 1e-2}}
        return self.run(name, self.expected / "prep_out.jsonl", train, lora=lora)

    # Prepared sets.

    def read_prepared(self, run):
        """The rows as upstream's training script reads them: fields, files, lengths."""
        rows, groups = run.rows(), self.base.config.talker_config.num_code_groups
        for row in rows:
            lacking = [field for field in FIELDS if field not in row]
            if lacking:
                raise Mismatch(f"a row lacks {', '.join(lacking)}: {json.dumps(row)[:80]}")
            for field in ("audio", "ref_audio"):
                if not os.path.isfile(row[field]):
                    raise Mismatch(f"{field} {row[field]!r} is no file where upstream looks")
            frames = -(-len(librosa.load(row["audio"], sr=24000)[0]) // 1920)
            if np.shape(row["audio_codes"]) != (frames, groups):
                raise Mismatch(f"{row['audio']}: audio_codes is {np.shape(row['audio_codes'])},"
                               f" upstream has {(frames, groups)}")
        return rows

    def prep(self, run):
        run("prep")
        rows = self.read_prepared(run)
        count = sum(equal_codes(row["audio"], row["audio_codes"], self.base.encode(row["audio"]))
                    for row in rows)
        return f"{len(rows)} rows read, {count} codes equal to upstream's encoder"

    def prep_upstream(self, run):
        run("prep")
        rows = self.read_prepared(run)
        given = read_rows(self.expected / "prep_out.jsonl")
        if [{field: row[field] for field in FIELDS} for row in rows] != given:
            raise Mismatch("rows that upstream prepared are changed")
        self.compare_batch(load_file(self.expected / "batch.safetensors"), rows)
        return f"{len(rows)} rows kept as they are, their batch equal to upstream's stored one"

    def dataset(self, *runs):
        """By upstream's own dataset.py, where the caller has one."""
        sys.path.insert(0, str(self.arguments.finetuning))
        from dataset import TTSDataset
        for run in runs:
            rows = run.rows()
            data = TTSDataset(rows, self.base.tts.processor, self.base.config)
            self.compare_batch(data.collate_fn([data[i] for i in range(len(rows))]), rows)
        return f"dataset.py reads {len(runs)} sets into the batches that are measured here"

    def compare_batch(self, batch, rows):
        """Upstream's batch against the sequences whose losses are measured here."""
        for i, row in enumerate(rows):
            text, codec, first = self.base.sequence(row)
            used, labels = int(batch["attention_mask"][i].sum()), batch["codec_0_labels"][i]
            frames = batch["codec_mask"][i].bool()
            for what, got, want in (
                    ("text track", batch["input_ids"][i, :used, 0], text),
                    ("codec track", batch["input_ids"][i, :used, 1], codec[:, 0]),
                    ("frames", batch["codec_ids"][i, frames], codec[first:-1]),
                    ("labels", labels[labels != -100], codec[first:, 0])):
                if not torch.equal(got.long(), want):
                    raise Mismatch(f"{row['audio']}: {what} of the batch differs")

    # Full fine-tuning.

    def train_full(self, run):
        run("prep")
        run("train")
        base, tuned = Upstream(run.checkpoint), Upstream(run.trained())
        count, codec_count = tuned.count_tensors()
        require_custom_voice(tuned.folder, base.folder)
        if base.stored_dtypes() != tuned.stored_dtypes():
            raise Mismatch(f"stored as {tuned.stored_dtypes()}, the base as {base.stored_dtypes()}")
        before, after = base.model.state_dict(), tuned.model.state_dict()
        same = [name for name in after if torch.equal(before[name], after[name])]
        if same:
            raise Mismatch(f"{len(same)} of {len(after)} tensors are still the base's: {same[0]}")
        difference = within("row of the speaker", tuned.named_vector(VOICE.lower()),
                            base.speaker_vector(self.reference), self.row_tolerance(run))
        return (f"upstream loads {count} + {codec_count} tensors, none missing or unknown;"
                f" speaker vector within {difference:.1e}")

    def row_tolerance(self, run):
        # A row stored in bf16 has eight significant bits.
        return LOSS_TOLERANCE if run.checkpoint == self.release else 0.02

    def eval_full(self, run):
        base, last = run.eval("--set", "precision=fp32")
        rows, before, after = run.rows(), Upstream(run.checkpoint), Upstream(run.trained())
        vector = before.speaker_vector(self.reference)
        return tell_losses(compare_losses("base", base, before, rows, vector),
                           compare_losses("checkpoint", last, after, rows, vector))

    def synth_full(self, run):
        return compare_speech(run, Upstream(run.trained()), self.text, "--set", "precision=fp32")

    # LoRA.

    def with_adapter(self, run):
        """Base and adapter as the companion script of upstream's users puts them together."""
        folder, adapter = run.folder / "voice", run.trained()
        if not folder.exists():
            shutil.copytree(run.checkpoint, folder)
            shutil.copy(adapter / "config.json", folder)
        adapted = Adapted(folder, adapter)
        stored = load_file(adapter / "speaker_embedding.safetensors")["target_speaker_embedding"]
        with torch.no_grad():
            adapted.named_vector(VOICE.lower()).copy_(stored)
        return adapted

    def train_lora(self, run):
        run("prep")
        run("train")
        adapted = self.with_adapter(run)
        count, delta = adapted.count_tensors(), adapted.smallest_delta()
        if not delta > 1e-6:
            raise Mismatch(f"an adapter changes its weight by no more than {delta:g}")
        require_custom_voice(run.trained(), run.checkpoint)
        difference = within("speaker_embedding", adapted.named_vector(VOICE.lower()),
                            self.base.speaker_vector(self.reference), LOSS_TOLERANCE)
        return (f"PEFT takes all {count} tensors for {len(adapted.layers)} modules, each changes"
                f" its weight by {delta:.1e} or more; speaker vector within {difference:.1e}")

    def eval_lora(self, run):
        base, last = run.eval()
        rows, vector = run.rows(), self.base.speaker_vector(self.reference)
        return tell_losses(compare_losses("base", base, self.base, rows, vector),
                           compare_losses("adapter", last, self.with_adapter(run), rows, vector))

    def synth_lora(self, run):
        return compare_speech(run, self.with_adapter(run), self.text)

    def export(self, run):
        folder, adapted = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        exported = Upstream(folder)
        count, _ = exported.count_tensors()
        require_custom_voice(folder, run.checkpoint)
        adapted.set_scale(SCALE)
        merged, state = adapted.merged(), exported.model.state_dict()
        if merged.keys() != state.keys():
            raise Mismatch(f"names differ from PEFT's: {min(merged.keys() ^ state.keys())}")
        worst = max(within(name, state[name], value, WEIGHT_TOLERANCE)
                    for name, value in merged.items())
        speech = compare_speech(run, exported, self.text, "--lora-scale", SCALE)
        return f"upstream loads {count} tensors, within {worst:.1e} of PEFT's merge; {speech}"


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.full_run("full")
    check("prep", suite.prep, full)
    table = suite.run("table", arguments.fixture / "audio/metadata.csv", {"steps": 1},
                      data={"reference": suite.reference})
    check("prep without ref_audio in the source", suite.prep, table)
    adapters = {"lora": suite.lora_run("lora", LORA), "rslora": suite.lora_run("rslora", RSLORA)}
    check("prep of upstream's prepared rows", suite.prep_upstream, adapters["lora"])
    if arguments.finetuning:
        check("upstream's dataset", suite.dataset, full, table, adapters["lora"])
    stored_bf16 = store_in_bf16(suite.release, work / "release-bf16")
    bf16 = suite.full_run("full-bf16", checkpoint=stored_bf16, precision="bf16")
    for name, run in (("full", full), ("full bf16", bf16)):
        check(f"train {name}", suite.train_full, run)
        check(f"eval {name}", suite.eval_full, run)
        check(f"synth {name}", suite.synth_full, run)
    for name, run in adapters.items():
        check(f"train {name}", suite.train_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        check(f"synth {name}", suite.synth_lora, run)
        check(f"export {name} at scale {SCALE}", suite.export, run)
    return check.failed
