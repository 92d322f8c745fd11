"""What is compared of Fish S2 Pro; docs/parity.md tells it in words."""
import numpy as np
import soundfile
import torch
from safetensors.torch import load_file, save_file

from upstream.adapters import Adapter
from upstream.compare import LOSS_TOLERANCE, compare_losses, equal_codes, tell_losses, within
from upstream.fish_s2_pro.model import WEIGHTS, Upstream, read_packed
from upstream.harness import Checks, Mismatch, Run

FRAMES = 16  # of speech in each comparison of generation
SCALE = 0.35  # of the exported adapters
STEPS, RATE = 3, 1e-3
TEXT = "<|speaker:0|>he might even have been made amiable<|speaker:1|>himself"
MERGED_TOLERANCE, TRAINED_TOLERANCE, WAVE_TOLERANCE = 1e-6, 1e-4, 1e-3
LORA = {"rank": 4, "alpha": 8, "dropout": 0}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True, "dropout": 0, "targets": ["wqkv", "fast_output"]}
EMBEDDINGS = {"rank": 2, "alpha": 4, "dropout": 0,
              "targets": ["wo", "embeddings", "codebook_embeddings", "fast_embeddings"]}


def release_name(name):
    if name.startswith("codebook_embeddings."):
        return f"audio_decoder.{name}"
    if name.startswith("fast_"):
        return f"audio_decoder.{name.removeprefix('fast_')}"
    return f"text_model.model.{name}"


def tensors_of(folder):
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors |= load_file(file)
    return tensors


class Suite:
    """The checks, and the runs of ttsft that they look at.

    The base is stored in float32 here, so that what is written can be compared exactly.
    """

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.fixture = work / "fixture"
        checkpoint = self.fixture / "checkpoint"
        checkpoint.mkdir(parents=True)
        for file in (arguments.fixture / "checkpoint").iterdir():
            if file.suffix == ".safetensors":
                floats = {name: value.float() for name, value in load_file(file).items()}
                save_file(floats, checkpoint / file.name, metadata={"format": "pt"})
            else:
                (checkpoint / file.name).symlink_to(file)
        (self.fixture / "audio").symlink_to(arguments.fixture / "audio")
        self.base = Upstream(checkpoint)

    def run(self, name, train, own=None, **sections):
        return Run("fish-s2-pro", self.arguments.ttsft, self.fixture, self.work / name,
                   train=train, accept_license="fish-audio-research", **sections,
                   data={"source": self.fixture / "audio"}, **{"fish-s2-pro": own or {}})

    def lora_run(self, name, lora, own=None):
        return self.run(name, {"method": "lora", "steps": 4, "optimizer": {"learning_rate": 1e-2}},
                        own, lora=lora)

    # Prepared sets.

    def prep(self, run):
        run("prep")
        count, rows = 0, run.rows()
        for row in rows:
            wave, _ = soundfile.read(row["audio"], dtype="float32")
            codes = np.load(run.folder / "prepared" / row["npy"])
            count += equal_codes(f"{row['id']}: codes", codes, self.base.encode(torch.from_numpy(wave)))
        return f"{len(rows)} clips, {count} codes equal to upstream's DAC, .npy by numpy"

    def packed(self, run):
        rows, folder = run.rows(), run.folder / "prepared"
        groups = read_packed(folder / "train/00000000.protos")
        said = [sentence for group in groups for sentence in group.sentences]
        if len(said) != len(rows):
            raise Mismatch(f"{len(said)} sentences of {len(rows)} clips")
        by_text = {row["text"]: row for row in rows}
        for sentence in said:
            codes = np.array([level.values for level in sentence.semantics])
            equal_codes("codes", codes, np.load(folder / by_text[sentence.texts[0]]["npy"]))
        return f"upstream reads {len(said)} sentences of {len(groups)} speaker, codes equal"

    # Full fine-tuning.

    def describe(self, folder):
        upstream = Upstream(folder)
        stored, wanted = upstream.stored_names()
        if stored != wanted:
            raise Mismatch(f"names differ: {sorted(stored ^ wanted)[:3]}")
        return upstream, f"DualARTransformer loads {len(stored)} tensors, none missing or unknown"

    def train_full(self, run):
        run("train")
        after, told = self.describe(run.trained())
        before = self.base.model.state_dict()
        same = [name for name, value in after.model.state_dict().items()
                if torch.equal(before[name], value)]
        if same:
            raise Mismatch(f"not trained: {', '.join(same)}")
        return told

    def replay_full(self, run):
        replayed = Upstream(run.checkpoint)
        losses = replayed.train(run.rows(), run.folder / "prepared", STEPS, RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        got, want = Upstream(run.trained()).model.state_dict(), replayed.model.state_dict()
        worst = max(within(name, got[name], want[name].detach(), TRAINED_TOLERANCE)
                    for name in want)
        return (f"{STEPS} steps by torch on upstream's module: losses within {difference:.1e},"
                f" trained tensors within {worst:.1e}")

    def compare_eval(self, run, after):
        base, last = run.eval()
        rows, folder = run.rows(), run.folder / "prepared"
        return tell_losses(
            compare_losses("base", base, self.base.losses(rows, folder), WEIGHTS),
            compare_losses("checkpoint", last, after.losses(rows, folder), WEIGHTS))

    def eval_full(self, run):
        return self.compare_eval(run, Upstream(run.trained()))

    def compare_speech(self, run, upstream, *flags):
        """Greedy codes of two turns, and their wave by upstream's codec."""
        file, out = run.folder / "codes.safetensors", run.folder / "speech.wav"
        run("synth", "--greedy", "--text", TEXT, "--max-frames", FRAMES, "--codes-out", file,
            "--out", out, *flags)
        codes = load_file(file)["codes"]
        count = equal_codes("codes", codes, upstream.greedy(TEXT, FRAMES))
        wave, _ = soundfile.read(out, dtype="float32")
        worst = within("wave", wave, self.base.wave(codes.T), WAVE_TOLERANCE)
        return f"{count} greedy codes equal, wave within {worst:.1e}"

    def synth_full(self, run):
        return self.compare_speech(run, Upstream(run.trained()), "--checkpoint", "last")

    # LoRA.

    def with_adapter(self, run):
        upstream = Upstream(run.checkpoint)
        return upstream, Adapter(upstream.model, run.trained())

    def train_lora(self, run):
        run("prep")
        run("train")
        return self.with_adapter(run)[1].describe()

    def eval_lora(self, run):
        return self.compare_eval(run, self.with_adapter(run)[0])

    def loralib(self, run):
        """The .ckpt through loralib, as upstream's merge tool takes it."""
        upstream = Upstream(run.checkpoint)
        count = upstream.wear_loralib(run.trained() / "lora.ckpt", LORA["rank"], LORA["alpha"])
        told = self.compare_eval(run, upstream)
        return f"loralib takes {count} tensors strictly; {told}"

    def export(self, run):
        folder, (_, adapter) = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        upstream, told = self.describe(folder)
        adapter.set_scale(SCALE)
        merged = {name: value for name, value in adapter.merged().items()
                  if not name.endswith(("freqs_cis", "causal_mask"))}
        got = tensors_of(folder)
        worst = max(within(name, got[release_name(name)], value, MERGED_TOLERANCE)
                    for name, value in merged.items())
        speech = self.compare_speech(run, upstream, "--checkpoint", folder)
        return f"{told}; within {worst:.1e} of PEFT's merge; {speech}"


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.run("full", {"method": "full", "steps": STEPS, "optimizer": {
        "learning_rate": RATE, "weight_decay": 0.01, "betas": [0.9, 0.999]}})
    check("prep", suite.prep, full)
    check("upstream's packed form", suite.packed, full)
    check("train full", suite.train_full, full)
    check("steps of full", suite.replay_full, full)
    check("eval full", suite.eval_full, full)
    check("synth full", suite.synth_full, full)
    for name, lora in (("lora", LORA), ("rslora", RSLORA), ("embeddings", EMBEDDINGS)):
        # PEFT keeps the head of a tied table without the adapter, as upstream does.
        run = suite.lora_run(name, lora, {"write_ckpt": name == "lora", "tied_head": "base"})
        check(f"train {name}", suite.train_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        if name == "lora":
            check("loralib's form", suite.loralib, run)
        check(f"export {name} at scale {SCALE}", suite.export, run)
    return check.failed
