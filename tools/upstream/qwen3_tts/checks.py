"""What is compared of Qwen3-TTS; docs/parity.md tells it in words."""
import json
import os
import shutil
import sys
from pathlib import Path

import librosa
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from upstream.compare import LOSS_TOLERANCE, compare_losses, equal_codes, tell_losses, within
from upstream.harness import Checks, Mismatch, Run, read_rows
from upstream.qwen3_tts.compare import compare_speech, require_custom_voice
from upstream.qwen3_tts.model import WEIGHTS, Adapted, Upstream

SCALE = 0.35  # of the exported adapter
VECTOR_TOLERANCE, BF16_VECTOR_TOLERANCE = 1e-4, 0.02  # bf16 has eight significant bits
MERGED_TOLERANCE, TRAINED_TOLERANCE = 1e-6, 1e-4
FULL_STEPS, FULL_RATE = 3, 1e-3
FIELDS = ("audio", "text", "audio_codes", "ref_audio")  # of a row that upstream trains on
VOICE, SECOND_VOICE = "Reader_One", "Reader_Two"
LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                           "up_proj", "down_proj"]}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True,
          "targets": r"talker\.(model|code_predictor\.model)\.layers\.\d+\.self_attn\.[qv]_proj"}


def store_in_bf16(checkpoint, folder):
    """A copy of the checkpoint whose model is stored as the release is."""
    shutil.copytree(checkpoint, folder)
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({name: value.to(torch.bfloat16) for name, value in tensors.items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def store_two_voices(rows, file):
    """The rows with a second voice, whose reference is its own first clip."""
    second = rows[1]["audio"]
    changed = [rows[0]] + [{**row, "speaker": SECOND_VOICE, "ref_audio": second}
                           for row in rows[1:]]
    file.write_text("".join(json.dumps(row) + "\n" for row in changed))
    return file


class Suite:
    """The checks, and the runs of ttsft that they look at."""

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.expected = arguments.fixture / "expected"
        self.release = arguments.fixture / "checkpoint"
        self.base = Upstream(self.release)
        self.source = read_rows(self.expected / "prep_in.jsonl")
        self.text, self.reference = self.source[0]["text"], self.source[0]["ref_audio"]

    def run(self, name, source, train, data=None, **sections):
        return Run("qwen3-tts", self.arguments.ttsft, self.arguments.fixture, self.work / name,
                   train=train, **sections,
                   data={"source": source, "speaker": VOICE, **(data or {})})

    def full_run(self, name, source=None, **sections):
        train = {"method": "full", "steps": FULL_STEPS, "optimizer": {"learning_rate": FULL_RATE}}
        return self.run(name, source or self.expected / "prep_in.jsonl", train, **sections)

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

    def vectors(self, run):
        """The speaker vector of each voice of the run, by upstream from the base."""
        base = Upstream(run.checkpoint)
        references = {row.get("speaker", VOICE): row["ref_audio"] for row in run.rows()}
        return {voice: base.speaker_vector(file) for voice, file in sorted(references.items())}

    def require_vectors(self, run, upstream, tolerance=VECTOR_TOLERANCE):
        return max(within(f"row of {voice}", upstream.named_vector(voice), vector, tolerance)
                   for voice, vector in self.vectors(run).items())

    def train_full(self, run):
        run("prep")
        run("train")
        base, tuned = Upstream(run.checkpoint), Upstream(run.trained())
        count, codec_count = tuned.count_tensors()
        require_custom_voice(tuned.folder, base.folder, self.vectors(run))
        if base.stored_dtypes() != tuned.stored_dtypes():
            raise Mismatch(f"stored as {tuned.stored_dtypes()}, the base as {base.stored_dtypes()}")
        before, after = base.model.state_dict(), tuned.model.state_dict()
        same = [name for name in after if torch.equal(before[name], after[name])]
        if same and run.checkpoint == self.release:  # in bf16 a small step may round to none
            raise Mismatch(f"{len(same)} of {len(after)} tensors are still the base's: {same[0]}")
        difference = self.require_vectors(run, tuned, VECTOR_TOLERANCE
                                          if run.checkpoint == self.release
                                          else BF16_VECTOR_TOLERANCE)
        return (f"upstream loads {count} + {codec_count} tensors, none missing or unknown;"
                f" speaker vectors within {difference:.1e}")

    def rows_with_vectors(self, run):
        vectors = self.vectors(run)
        return [(row, vectors[row.get("speaker", VOICE)]) for row in run.rows()]

    def replay_full(self, run):
        """The same steps by torch's optimizer on upstream's modules."""
        replayed, trained = Upstream(run.checkpoint), Upstream(run.trained())
        losses = replayed.train(self.rows_with_vectors(run), FULL_STEPS, FULL_RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        with torch.no_grad():
            for voice, vector in self.vectors(run).items():
                row = trained.config.talker_config.spk_id[voice.lower()]
                replayed.talker.model.codec_embedding.weight[row] = vector
        got, want = trained.talker.state_dict(), replayed.talker.state_dict()
        worst = max(within(name, got[name], want[name], TRAINED_TOLERANCE) for name in want)
        return (f"{FULL_STEPS} steps by torch on upstream's modules: losses within"
                f" {difference:.1e}, trained tensors within {worst:.1e}")

    def compare_eval(self, run, after):
        base, last = run.eval("--set", "precision=fp32")
        rows = self.rows_with_vectors(run)

        def losses(upstream):
            return {Path(row["audio"]).stem: upstream.losses(row, vector) for row, vector in rows}

        return tell_losses(compare_losses("base", base, losses(Upstream(run.checkpoint)), WEIGHTS),
                           compare_losses("checkpoint", last, losses(after), WEIGHTS))

    def eval_full(self, run):
        return self.compare_eval(run, Upstream(run.trained()))

    def synth_full(self, run):
        upstream, told = Upstream(run.trained()), []
        for voice in self.vectors(run):
            told.append(compare_speech(run, upstream, self.text, voice, "--set", "precision=fp32"))
        return "; ".join(told)

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
            adapted.named_vector(VOICE).copy_(stored)
        return adapted

    def train_lora(self, run):
        run("prep")
        run("train")
        adapted = self.with_adapter(run)
        require_custom_voice(run.trained(), run.checkpoint, [VOICE])
        difference = self.require_vectors(run, adapted)
        return f"{adapted.adapter.describe()}; speaker vector within {difference:.1e}"

    def eval_lora(self, run):
        return self.compare_eval(run, self.with_adapter(run))

    def synth_lora(self, run):
        return compare_speech(run, self.with_adapter(run), self.text, VOICE)

    def export(self, run):
        folder, adapted = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        exported = Upstream(folder)
        count, _ = exported.count_tensors()
        require_custom_voice(folder, run.checkpoint, [VOICE])
        adapted.adapter.set_scale(SCALE)
        merged, state = adapted.adapter.merged(), exported.model.state_dict()
        merged = {name: value for name, value in merged.items() if name.startswith("talker.")}
        if merged.keys() != state.keys():
            raise Mismatch(f"names differ from PEFT's: {min(merged.keys() ^ state.keys())}")
        worst = max(within(name, state[name], value, MERGED_TOLERANCE)
                    for name, value in merged.items())
        speech = compare_speech(run, exported, self.text, VOICE, "--lora-scale", SCALE)
        return f"upstream loads {count} tensors, within {worst:.1e} of PEFT's merge; {speech}"


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.full_run("full")
    check("prep", suite.prep, full)
    table = suite.run("table", arguments.fixture / "audio/metadata.csv", {"steps": 1},
                      data={"reference": os.path.abspath(suite.reference)})
    check("prep without ref_audio in the source", suite.prep, table)
    adapters = {"lora": suite.lora_run("lora", LORA), "rslora": suite.lora_run("rslora", RSLORA)}
    check("prep of upstream's prepared rows", suite.prep_upstream, adapters["lora"])
    if arguments.finetuning:
        check("upstream's dataset", suite.dataset, full, table, adapters["lora"])
    stored_bf16 = store_in_bf16(suite.release, work / "release-bf16")
    bf16 = suite.full_run("full-bf16", checkpoint=stored_bf16, precision="bf16")
    voices = suite.full_run("full-voices", store_two_voices(suite.source, work / "voices.jsonl"))
    for name, run in (("full", full), ("full bf16", bf16), ("full two voices", voices)):
        check(f"train {name}", suite.train_full, run)
        if run is not bf16:  # whose steps round differently
            check(f"steps of {name}", suite.replay_full, run)
        check(f"eval {name}", suite.eval_full, run)
        check(f"synth {name}", suite.synth_full, run)
    for name, run in adapters.items():
        check(f"train {name}", suite.train_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        check(f"synth {name}", suite.synth_lora, run)
        check(f"export {name} at scale {SCALE}", suite.export, run)
    return check.failed
