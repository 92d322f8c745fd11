"""What is compared of IndexTTS2; docs/parity.md tells it in words."""
import contextlib
import os
import sys
import types

import numpy as np
import torch
from safetensors.torch import load_file

from upstream.adapters import Adapter
from upstream.compare import (LOSS_TOLERANCE, compare_losses, equal_codes, mean_losses,
                              tell_losses, within)
from upstream.harness import Checks, Mismatch, Run, read_rows
from upstream.indextts2.model import WEIGHTS, Encoders, Upstream, generated

FRAMES = 24  # of speech in each comparison of generation
SCALE = 0.35  # of the exported adapter
STEPS, RATE = 3, 1e-3
TEXT = "he was not an ill-disposed young man."
ARRAYS = {"codes": np.int32, "text_ids": np.int32, "condition": np.float32,
          "emo_vec": np.float32}
CONDITION_TOLERANCE = 2e-3  # resampled audio: nearly empty bands amplify its rounding
MERGED_TOLERANCE, TRAINED_TOLERANCE = 1e-6, 1e-4
ENCODERS = ("conditioning_encoder.", "perceiver_encoder.", "emo_conditioning_encoder.",
            "emo_perceiver_encoder.", "emo_layer.", "emovec_layer.")
LORA = {"rank": 4, "alpha": 8, "targets": ["c_attn", "c_proj", "c_fc"]}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True, "targets": r"gpt\.h\.\d+\.attn\.c_(attn|proj)"}


class Suite:
    """The checks, and the runs of ttsft that they look at."""

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.release = arguments.fixture / "checkpoint"
        self.reference = arguments.fixture / "audio/ref.wav"
        self.base = Upstream(self.release)
        self.encoders = Encoders(self.base)
        self.features = self.encoders.reference(self.reference)

    def run(self, name, train, **sections):
        return Run("indextts2", self.arguments.ttsft, self.arguments.fixture, self.work / name,
                   train={"dropout": 0, **train}, **sections,
                   data={"source": self.arguments.fixture / "audio", "reference": self.reference},
                   indextts2={"normalize": False, "pairs": 1})

    def full_run(self):
        return self.run("full", {"method": "full", "steps": STEPS,
                                 "optimizer": {"learning_rate": RATE}})

    def lora_run(self, name, lora):
        return self.run(name, {"method": "lora", "steps": 4, "optimizer": {"learning_rate": 1e-2}},
                        lora=lora)

    # Prepared sets.

    def prep(self, run):
        run("prep")
        rows, count, worst = read_rows(run.folder / "prepared/train_manifest.jsonl"), 0, 0.0
        audio = {row["codes_path"]: row["audio"] for row in run.rows()}
        for row in rows:
            want = self.encoders.prepare(audio[row["codes_path"]], row["text"])
            for name, kind in ARRAYS.items():
                path = row[f"{name}_path"]
                got = np.load(run.folder / "prepared" / path, allow_pickle=False)
                if got.dtype != kind:
                    raise Mismatch(f"{path}: {got.dtype}, upstream {kind.__name__}")
                if kind == np.int32:
                    count += equal_codes(path, got, want[name])
                else:
                    worst = max(worst, within(path, got, want[name], CONDITION_TOLERANCE))
            if (row["code_len"], row["text_len"]) != (len(want["codes"]), len(want["text_ids"])):
                raise Mismatch(f"{row['id']}: lengths of the manifest are not those of its arrays")
        self.require_fields(run)
        return (f"{len(rows)} clips, {count} codes and ids equal to upstream's encoders, conditions"
                f" and emotions within {worst:.1e}")

    def require_fields(self, run):
        """Manifests hold the fields that upstream's own hold, in values of the same types."""
        expected = self.arguments.fixture / "expected/prep"
        for ours, theirs in (("train_manifest", "train_manifest"),
                             ("gpt_pairs_train", "gpt_pairs_tool_seed2025")):
            got = read_rows(run.folder / f"prepared/{ours}.jsonl")[0]
            want = read_rows(expected / f"{theirs}.jsonl")[0]
            if got.keys() != want.keys():
                raise Mismatch(f"{ours}.jsonl: fields {sorted(got.keys() ^ want.keys())} differ")
            for name, value in want.items():
                if value is not None and type(got[name]) is not type(value):
                    raise Mismatch(f"{ours}.jsonl: {name} is {type(got[name]).__name__}")

    def pairs(self, run):
        """Per clip, in the order of the manifest: its arrays and those of its prompt."""
        folder, pairs = run.folder / "prepared", {}
        for row in read_rows(folder / "gpt_pairs_train.jsonl"):
            arrays = {name: torch.from_numpy(np.load(folder / row[path], allow_pickle=False))
                      for name, path in (("text", "target_text_ids_path"),
                                         ("mel", "target_codes_path"),
                                         ("condition", "prompt_condition_path"),
                                         ("emotion", "prompt_emo_vec_path"))}
            pairs.setdefault(row["target_id"], arrays)
        return pairs

    def trainer(self, run):
        """The community trainer's own dataset and losses on the pairs."""
        sys.path.insert(0, str(self.arguments.finetuning / "trainers"))
        sys.modules["torch.utils.tensorboard"] = types.SimpleNamespace(SummaryWriter=None)
        with contextlib.redirect_stdout(open(os.devnull, "w")), torch.no_grad():
            import train_gpt_v2 as trainer
            data = trainer.JapaneseGPTDataset(
                [trainer.ManifestSpec(run.folder / "prepared/gpt_pairs_train.jsonl")])
            pairs, worst = self.pairs(run), 0.0
            for item in (data[i] for i in range(len(data))):
                text, mel, _ = trainer.compute_losses(self.base.gpt, trainer.collate_batch([item]),
                                                      torch.device("cpu"))
                own = mean_losses([self.base.losses(pairs[item["target_id"]])], WEIGHTS)
                terms = own["loss_terms"]
                worst = max(worst, within(item["id"], [terms["text"], terms["mel"]],
                                          [text, mel], LOSS_TOLERANCE))
        return (f"train_gpt_v2.py reads {len(data)} pairs; its losses are those measured here,"
                f" within {worst:.1e}")

    # Checkpoints.

    def describe(self, folder, kind=torch.float32):
        """Proofs of a complete folder."""
        upstream = Upstream(folder)
        count, stored, base = upstream.count_tensors(), upstream.stored(), self.base.stored()
        if list(stored) != list(base):
            raise Mismatch("gpt.pth: names or their order are not the base's")
        if {value.dtype for value in stored.values()} != {kind}:
            raise Mismatch(f"gpt.pth holds another type than {kind}")
        for name in ("config.yaml", "bpe.model", "s2mel.pth", "feat1.pt", "feat2.pt",
                     "wav2vec2bert_stats.pt"):
            if (folder / name).read_bytes() != (self.release / name).read_bytes():
                raise Mismatch(f"{name} is not the base's")
        return (f"load_checkpoint takes {count} tensors strictly into UnifiedVoice, all"
                f" {str(kind).removeprefix('torch.')}")

    def train_full(self, run):
        run("train")
        told = self.describe(run.trained())
        before, after = self.base.stored(), Upstream(run.trained()).stored()
        same = [name for name in after if torch.equal(before[name], after[name])]
        encoders = [name for name in after if name.startswith(ENCODERS)]
        if same != encoders:
            raise Mismatch(f"trained or left alone though it should not be:"
                           f" {', '.join(sorted(set(same) ^ set(encoders))[:3])}")
        return f"{told}; {len(after) - len(same)} trained, the encoders' {len(same)} untouched"

    def replay_full(self, run):
        """The same steps by torch's optimizer on upstream's modules."""
        replayed = Upstream(run.checkpoint)
        losses = replayed.train(self.pairs(run).values(), STEPS, RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        got, want = Upstream(run.trained()).gpt.state_dict(), replayed.gpt.state_dict()
        for state in (got, want):
            for name, value in state.items():
                if name.endswith("c_attn.bias"):  # keys' biases have no gradient but rounding
                    state[name] = torch.cat(value.chunk(3)[::2])
        worst = max(within(name, got[name], value, TRAINED_TOLERANCE)
                    for name, value in want.items())
        return (f"{STEPS} steps by torch on upstream's modules: losses within {difference:.1e},"
                f" trained tensors within {worst:.1e}")

    def compare_eval(self, run, after):
        base, last = run.eval()
        pairs = self.pairs(run)

        def losses(upstream):
            return {name: upstream.losses(pair) for name, pair in pairs.items()}

        return tell_losses(compare_losses("base", base, losses(Upstream(run.checkpoint)), WEIGHTS),
                           compare_losses("checkpoint", last, losses(after), WEIGHTS))

    def eval_full(self, run):
        return self.compare_eval(run, Upstream(run.trained()))

    def compare_speech(self, run, load, *flags, checkpoint="last"):
        """load: makes the upstream model anew, since generating spoils it."""
        told = []
        for beams in (1, 3):
            file = run.folder / "codes.safetensors"
            run("synth", "--greedy", "--text", TEXT, "--max-frames", FRAMES, "--checkpoint",
                checkpoint, "--out", run.folder / "speech.wav", "--codes-out", file,
                "--set", f"synth.beams={beams}", *flags)
            want = generated(load(), self.features, TEXT, beams, FRAMES)
            count = equal_codes(f"beams {beams}", load_file(file)["codes"], want)
            told.append(f"{count} with beams {beams}")
        return f"greedy codes equal to inference_speech: {', '.join(told)}"

    def synth_full(self, run):
        return self.compare_speech(run, lambda: Upstream(run.trained()))

    def export_full(self, run, kind):
        folder = run.folder / f"export-{kind}"
        run("export", "--checkpoint", "last", "--out", folder,
            "--set", f"indextts2.export_precision={kind}")
        dtype = getattr(torch, kind)
        told, stored = self.describe(folder, dtype), Upstream(folder).stored()
        for name, value in Upstream(run.trained()).stored().items():
            if not torch.equal(value.to(dtype), stored[name]):
                raise Mismatch(f"{name} is not the checkpoint's, rounded")
        speech = self.compare_speech(run, lambda: Upstream(folder),
                                     "--set", f"checkpoint={folder}", checkpoint="base")
        return f"{told}; {speech}"

    # LoRA.

    def with_adapter(self, run):
        upstream = Upstream(run.checkpoint)
        return upstream, Adapter(upstream.gpt, run.trained())

    def train_lora(self, run):
        run("prep")
        run("train")
        _, adapter = self.with_adapter(run)
        if not all(layer.fan_in_fan_out for layer in adapter.layers):
            raise Mismatch("the adapter's config lacks fan_in_fan_out: GPT-2 stores [in, out]")
        return f"{adapter.describe()}; fan_in_fan_out"

    def eval_lora(self, run):
        return self.compare_eval(run, self.with_adapter(run)[0])

    def synth_lora(self, run):
        return self.compare_speech(run, lambda: self.with_adapter(run)[0])

    def export_lora(self, run):
        folder, (_, adapter) = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        told = self.describe(folder)
        adapter.set_scale(SCALE)
        merged, stored = adapter.merged(), Upstream(folder).stored()
        if merged.keys() != stored.keys():
            raise Mismatch(f"names differ from PEFT's: {min(merged.keys() ^ stored.keys())}")
        worst = max(within(name, stored[name], value, MERGED_TOLERANCE)
                    for name, value in merged.items())
        speech = self.compare_speech(run, lambda: Upstream(folder), "--lora-scale", SCALE)
        return f"{told}; within {worst:.1e} of PEFT's merge; {speech}"


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.full_run()
    check("prep", suite.prep, full)
    if arguments.finetuning:
        check("community trainer", suite.trainer, full)
    check("train full", suite.train_full, full)
    check("steps of full", suite.replay_full, full)
    check("eval full", suite.eval_full, full)
    check("synth full", suite.synth_full, full)
    for kind in ("float32", "float16"):
        check(f"export full in {kind}", suite.export_full, full, kind)
    for name, lora in (("lora", LORA), ("rslora", RSLORA)):
        run = suite.lora_run(name, lora)
        check(f"train {name}", suite.train_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        check(f"synth {name}", suite.synth_lora, run)
        check(f"export {name} at scale {SCALE}", suite.export_lora, run)
    return check.failed
