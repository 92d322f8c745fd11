"""What is compared of Chatterbox; docs/parity.md tells it in words."""
from pathlib import Path

import torch
from safetensors.torch import load_file

from upstream.adapters import Adapter
from upstream.chatterbox.model import WEIGHTS, Upstream
from upstream.chatterbox.sizes import use_sizes_of
from upstream.compare import (LOSS_TOLERANCE, compare_losses, equal_codes, require_same_kind,
                              tell_losses, within)
from upstream.harness import Checks, Mismatch, Run

FRAMES = 24  # of speech in each comparison of generation
SCALE = 0.35  # of the exported adapter
STEPS, RATE = 3, 1e-3
TEXT = "he might even have been made amiable himself"
VECTOR_TOLERANCE, MERGED_TOLERANCE, TRAINED_TOLERANCE = 1e-4, 1e-6, 1e-4
REFERENCE_TOLERANCE = 1e-3  # the recording goes through two implementations of resampling
MOVED_BY_ROUNDING = "cond_enc.perceiver.attn.to_k.bias"  # its gradient is zero but for rounding
LORA = {"rank": 4, "alpha": 8,
        "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True,
          "targets": r"tfmr\.layers\.\d+\.self_attn\.[qv]_proj"}


class Suite:
    """The checks, and the runs of ttsft that they look at."""

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.release = arguments.fixture / "checkpoint"
        self.reference = arguments.fixture / "audio/ref.wav"
        use_sizes_of(self.release)
        self.base = Upstream(self.release)

    def run(self, name, train, condition="self", **sections):
        return Run("chatterbox", self.arguments.ttsft, self.arguments.fixture, self.work / name,
                   train=train, **sections,
                   data={"source": self.arguments.fixture / "audio", "reference": self.reference},
                   chatterbox={"condition": condition, "write_cache": True})

    def full_run(self, name, **sections):
        return self.run(name, {"method": "full", "steps": STEPS,
                               "optimizer": {"learning_rate": RATE}}, **sections)

    def lora_run(self, name, lora):
        return self.run(name, {"method": "lora", "steps": 4, "optimizer": {"learning_rate": 1e-2}},
                        condition=self.reference, lora=lora)

    def clips(self, run):
        """Each clip of the prepared set, by upstream's encoders from its recording."""
        return {Path(row["audio"]).stem: self.base.encode(row) for row in run.rows()}

    # Prepared sets.

    def prep(self, run):
        run("prep")
        rows, count, worst = run.rows(), 0, 0.0
        for row in rows:
            want, got = self.base.encode(row), load_file(run.folder / "prepared" / row["clip"])
            for name, key in (("speech_codes", "codes"), ("text_ids", "text"),
                              ("prompt_tokens", "prompt")):
                count += equal_codes(f"{row['clip']}: {name}", got[name], want[key])
            worst = max(worst, within(f"{row['clip']}: speaker_emb", got["speaker_emb"],
                                      want["speaker"], VECTOR_TOLERANCE))
        return (f"{len(rows)} clips, {count} codes and ids equal to upstream's encoders,"
                f" voice vectors within {worst:.1e}")

    def cache(self, run):
        """The files that community trainers read, against those that upstream's code wrote."""
        files = sorted((self.arguments.fixture / "expected/prep_pt").glob("*.pt"))
        if not files:
            raise Mismatch("the fixture has no expected/prep_pt")
        worst = 0.0
        for file in files:
            want = torch.load(file, weights_only=True)
            got = torch.load(run.folder / "prepared/cache" / file.name, weights_only=True)
            require_same_kind(file.name, got, want)
            for key, value in want.items():
                tolerance = VECTOR_TOLERANCE if value.is_floating_point() else 0
                worst = max(worst, within(f"{file.name}: {key}", got[key], value, tolerance))
        return (f"torch.load takes {len(files)} files; {', '.join(want)} of the same types and"
                f" shapes, vectors within {worst:.1e}")

    def voice(self, run):
        """conds.pt of the prepared set, as upstream loads and saves it."""
        self.base.tts.prepare_conditionals(self.reference)
        self.base.tts.conds.save(run.folder / "upstream.pt")
        got, want = (torch.load(file, weights_only=True)
                     for file in (run.folder / "prepared/conds.pt", run.folder / "upstream.pt"))
        worst = 0.0
        for part in ("t3", "gen"):
            require_same_kind(f"conds.pt, {part}", got[part], want[part])
            for key, value in want[part].items():
                if torch.is_tensor(value):
                    tolerance = REFERENCE_TOLERANCE if value.is_floating_point() else 0
                    worst = max(worst, within(f"conds.pt: {key}", got[part][key], value.detach(),
                                              tolerance))
        if got.keys() != want.keys():
            raise Mismatch(f"conds.pt: keys {sorted(got)}, upstream {sorted(want)}")
        return (f"{len(want['t3'])} + {len(want['gen'])} entries of upstream's types and shapes,"
                f" codes equal, the rest within {worst:.1e}")

    # Full fine-tuning.

    def describe(self, folder):
        """Proofs of a complete folder."""
        upstream = Upstream(folder)
        counts = upstream.count_tensors()
        stored = load_file(folder / "t3_cfg.safetensors")
        types = {value.dtype for value in stored.values()}
        if types != {torch.float32}:
            raise Mismatch(f"t3_cfg.safetensors holds {types}")
        if upstream.tts.conds is None:
            raise Mismatch("the folder has no conds.pt")
        return (f"ChatterboxTTS.from_local loads {' + '.join(map(str, counts))} tensors, none"
                f" missing or unknown, T3 in float32, and conds.pt")

    def train_full(self, run):
        run("train")
        told = self.describe(run.trained())
        before, after = self.base.t3.state_dict(), Upstream(run.trained()).t3.state_dict()
        same = [name for name in after if torch.equal(before[name], after[name])]
        if same != ["tfmr.embed_tokens.weight"]:  # which upstream never uses
            raise Mismatch(f"not trained: {', '.join(same)}")
        return told

    def replay_full(self, run):
        """The same steps by torch's optimizer on upstream's modules."""
        replayed = Upstream(run.checkpoint)
        losses = replayed.train(self.clips(run).values(), STEPS, RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        got, want = Upstream(run.trained()).t3.state_dict(), replayed.t3.state_dict()
        worst = max(within(name, got[name], want[name].detach(), TRAINED_TOLERANCE)
                    for name in want if name != MOVED_BY_ROUNDING)
        return (f"{STEPS} steps by torch on upstream's modules: losses within {difference:.1e},"
                f" trained tensors within {worst:.1e}")

    def compare_eval(self, run, after, condition):
        base, last = run.eval()
        clips = self.clips(run)

        def losses(upstream):
            return {name: upstream.losses(clip, condition(clip)) for name, clip in clips.items()}

        return tell_losses(
            compare_losses("base", base, losses(Upstream(run.checkpoint)), WEIGHTS),
            compare_losses("checkpoint", last, losses(after), WEIGHTS))

    def eval_full(self, run):
        """Each clip is told its own voice."""
        return self.compare_eval(run, Upstream(run.trained()), self.base.condition_of)

    def compare_codes(self, run, upstream, bos, guidance, *flags):
        file = run.folder / "codes.safetensors"
        run("synth", "--greedy", "--text", TEXT, "--max-frames", FRAMES, "--checkpoint", "last",
            "--out", run.folder / "speech.wav", "--codes-out", file,
            "--set", f"chatterbox.bos={bos}", "--set", f"chatterbox.cfg_weight={guidance}", *flags)
        generate = upstream.generated if bos == "two" else upstream.generated_as_trained
        return equal_codes(f"codes with {bos} start", load_file(file)["codes"],
                           generate(TEXT, FRAMES))

    def compare_speech(self, run, upstream, *flags):
        upstream.tts.prepare_conditionals(self.reference)
        two = self.compare_codes(run, upstream, "two", 0.5, *flags)
        one = self.compare_codes(run, upstream, "one", 0, *flags)
        return (f"{two} greedy codes equal to ChatterboxTTS.generate (two starts, guidance 0.5),"
                f" {one} to T3.forward (one start, no guidance)")

    def synth_full(self, run):
        upstream = Upstream(run.trained())
        own = self.compare_codes(run, upstream, "two", 0.5, "--set", "data.reference=null")
        return f"{self.compare_speech(run, upstream)}, {own} with the conds.pt of the checkpoint"

    # LoRA.

    def with_adapter(self, run):
        upstream = Upstream(run.checkpoint)
        return upstream, Adapter(upstream.t3, run.trained())

    def train_lora(self, run):
        run("prep")
        run("train")
        return self.with_adapter(run)[1].describe()

    def eval_lora(self, run):
        """All clips are told the voice of one recording."""
        voice = self.base.condition_of_recording(self.reference)
        return self.compare_eval(run, self.with_adapter(run)[0], lambda clip: voice)

    def synth_lora(self, run):
        return self.compare_speech(run, self.with_adapter(run)[0])

    def export(self, run):
        folder, (_, adapter) = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        told = self.describe(folder)
        adapter.set_scale(SCALE)
        merged, state = adapter.merged(), load_file(folder / "t3_cfg.safetensors")
        if merged.keys() != state.keys():
            raise Mismatch(f"names differ from PEFT's: {min(merged.keys() ^ state.keys())}")
        worst = max(within(name, state[name], value, MERGED_TOLERANCE)
                    for name, value in merged.items())
        speech = self.compare_speech(run, Upstream(folder), "--lora-scale", SCALE)
        return f"{told}; within {worst:.1e} of PEFT's merge; {speech}"


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.full_run("full")
    check("prep", suite.prep, full)
    check("prep cache", suite.cache, full)
    check("prep conds.pt", suite.voice, full)
    check("train full", suite.train_full, full)
    check("steps of full", suite.replay_full, full)
    check("eval full", suite.eval_full, full)
    check("synth full", suite.synth_full, full)
    for name, lora in (("lora", LORA), ("rslora", RSLORA)):
        run = suite.lora_run(name, lora)
        check(f"train {name}", suite.train_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        check(f"synth {name}", suite.synth_lora, run)
        check(f"export {name} at scale {SCALE}", suite.export, run)
    return check.failed
