"""What is compared of CosyVoice 3; docs/parity.md tells it in words."""
import soundfile
import torch
from safetensors.torch import load_file, save_file

from upstream.adapters import Adapter
from upstream.compare import (LOSS_TOLERANCE, compare_losses, equal_codes, tell_losses, within)
from upstream.cosyvoice3.model import END, WEIGHTS, Upstream
from upstream.harness import Checks, Mismatch, Run

FRAMES = 24  # of speech in each comparison of generation
SCALE = 0.35  # of the exported adapters
STEPS, RATE = 3, 1e-3
SPEAKER = "checked"
TEXT = "he might even have been made amiable himself"
PROMPT = f"You are a helpful assistant.{END}"
VECTOR_TOLERANCE, MERGED_TOLERANCE, TRAINED_TOLERANCE, WAVE_TOLERANCE = 1e-4, 1e-6, 1e-4, 1e-3
LORA = {"rank": 4, "alpha": 8}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True, "targets": ["q_proj", "v_proj"]}


class Suite:
    """The checks, and the runs of ttsft that they look at."""

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.base = Upstream(arguments.fixture / "checkpoint")

    def run(self, name, train, **sections):
        return Run("cosyvoice3", self.arguments.ttsft, self.arguments.fixture, self.work / name,
                   train=train, **sections,
                   data={"source": self.arguments.fixture / "audio", "speaker": SPEAKER},
                   cosyvoice3={"bistream": 0, "mode": "sft", "normalize": "off"})

    def full_run(self, name, stage):
        return self.run(name, {"stage": stage, "method": "full", "steps": STEPS,
                               "optimizer": {"learning_rate": RATE, "weight_decay": 0.01}})

    def lora_run(self, name, stage, lora):
        return self.run(name, {"stage": stage, "method": "lora", "steps": 4,
                               "optimizer": {"learning_rate": 1e-2}}, lora=lora)

    # Prepared sets.

    def prep(self, run):
        run("prep")
        folder, count, worst = run.folder / "prepared/train", 0, 0.0
        codes = torch.load(folder / "utt2speech_token.pt", weights_only=True)
        vectors = torch.load(folder / "utt2embedding.pt", weights_only=True)
        means = torch.load(folder / "spk2embedding.pt", weights_only=True)
        rows = run.rows()
        for row in rows:
            want_codes, want_vector = self.base.encode(row["audio"])
            count += equal_codes(f"{row['id']}: codes", codes[row["id"]], want_codes)
            worst = max(worst, within(f"{row['id']}: vector", vectors[row["id"]], want_vector,
                                      VECTOR_TOLERANCE))
        mean = torch.tensor([vectors[row["id"]] for row in rows]).mean(0)
        within("the speaker's vector", means[SPEAKER], mean, VECTOR_TOLERANCE)
        return (f"{len(rows)} clips, {count} codes equal to upstream's tokenizer, vectors within"
                f" {worst:.1e}, three .pt files by torch.load")

    def dataset(self, run):
        """Upstream's dataset reads the shards and makes its batches of them."""
        rows = {tuple(row["speech_token"]): row for row in run.rows()}
        batches = self.base.batches(run.folder / "prepared/train/parquet/data.list")
        found = 0
        for batch in batches:
            for i, length in enumerate(batch["speech_token_len"].tolist()):
                codes = tuple(batch["speech_token"][i, :length].tolist())
                if codes not in rows:
                    raise Mismatch("a clip of the shards is none of the set")
                want = self.base.batch(rows[codes])
                for key in ("text_token", "instruct_token"):
                    size = batch[f"{key}_len"][i]
                    equal_codes(key, batch[key][i, :size], want[key][0])
                found += 1
        if found != len(rows):
            raise Mismatch(f"{found} of {len(rows)} clips come out of the shards")
        return f"{found} clips in {len(batches)} batches, codes, text and instruct ids equal"

    # Full fine-tuning of the language model.

    def describe(self, folder):
        upstream = Upstream(folder)
        counts = upstream.count_tensors()
        return upstream, (f"CosyVoice3 loads {' + '.join(map(str, counts))} tensors strictly, and"
                          f" {len(upstream.frontend.spk2info)} voices")

    def train_full(self, run):
        run("train")
        after, told = self.describe(run.trained())
        before = self.base.llm.state_dict()
        same = [name for name, value in after.llm.state_dict().items()
                if torch.equal(before[name], value)]
        if same:
            raise Mismatch(f"not trained: {', '.join(same)}")
        head = torch.load(run.trained() / "llm.pt", weights_only=True)
        if (head["llm.model.lm_head.weight"].data_ptr()
                != head["llm.model.model.embed_tokens.weight"].data_ptr()):
            raise Mismatch("the tied head is stored twice")
        return f"{told}; the tied head is stored once"

    def replay_full(self, run):
        """The same steps by torch's optimizer on upstream's modules."""
        replayed = Upstream(run.checkpoint)
        losses = replayed.train(run.rows(), STEPS, RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        got, want = Upstream(run.trained()).llm.state_dict(), replayed.llm.state_dict()
        worst = max(within(name, got[name], want[name].detach(), TRAINED_TOLERANCE)
                    for name in want)
        return (f"{STEPS} steps by torch on upstream's modules: losses within {difference:.1e},"
                f" trained tensors within {worst:.1e}")

    def compare_eval(self, run, after):
        base, last = run.eval()
        rows = run.rows()
        return tell_losses(
            compare_losses("base", base, Upstream(run.checkpoint).losses(rows), WEIGHTS),
            compare_losses("checkpoint", last, after.losses(rows), WEIGHTS))

    def eval_full(self, run):
        return self.compare_eval(run, Upstream(run.trained()))

    def compare_codes(self, run, upstream, *flags):
        file = run.folder / "codes.safetensors"
        run("synth", "--greedy", "--text", TEXT, "--max-frames", FRAMES, "--codes-out", file,
            "--out", run.folder / "speech.wav", *flags)
        want = upstream.greedy(PROMPT + TEXT, SPEAKER, FRAMES)
        return equal_codes("codes", load_file(file)["codes"], want)

    def synth_full(self, run):
        upstream = Upstream(run.trained())
        count = self.compare_codes(run, upstream, "--checkpoint", "last")
        return f"{count} greedy codes equal in the voice that spk2info.pt of the checkpoint holds"

    # LoRA of the language model.

    def with_adapter(self, run):
        upstream = Upstream(run.checkpoint)
        return upstream, Adapter(upstream.llm.llm.model, run.trained())

    def train_lora(self, run):
        run("prep")
        run("train")
        return self.with_adapter(run)[1].describe()

    def eval_lora(self, run):
        return self.compare_eval(run, self.with_adapter(run)[0])

    def export(self, run):
        folder, (_, adapter) = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        upstream, told = self.describe(folder)
        adapter.set_scale(SCALE)
        merged = {f"llm.model.{name}": value for name, value in adapter.merged().items()}
        state = torch.load(folder / "llm.pt", weights_only=True)
        worst = max(within(name, state[name], value, MERGED_TOLERANCE)
                    for name, value in merged.items())
        count = self.compare_codes(run, upstream, "--checkpoint", folder)
        return f"{told}; within {worst:.1e} of PEFT's merge; {count} greedy codes equal"

    # The flow.

    def compare_wave(self, run, upstream, *flags):
        """Codes to a wave by both, from upstream's own tables of noise."""
        codes = torch.randint(0, 6561, (FRAMES,), generator=torch.Generator().manual_seed(1))
        save_file({"codes": codes}, run.folder / "in.safetensors")
        save_file(upstream.noise(960 * len(codes)), run.folder / "noise.safetensors")
        out = run.folder / "decoded.wav"
        run("synth", "--codes-in", run.folder / "in.safetensors", "--noise",
            run.folder / "noise.safetensors", "--out", out, *flags)
        got, _ = soundfile.read(out, dtype="float32")
        return within("wave", got, upstream.wave(codes.tolist(), SPEAKER), WAVE_TOLERANCE)

    def train_flow(self, run):
        run("prep")
        run("train")
        after, told = self.describe(run.trained())
        before = self.base.flow.state_dict()
        same = [name for name, value in after.flow.state_dict().items()
                if torch.equal(before[name], value)]
        if any(not name.endswith("inv_freq") for name in same):
            raise Mismatch(f"not trained: {', '.join(same)}")
        wave = self.compare_wave(run, after, "--checkpoint", "last")
        return f"{told}; waves of {FRAMES} codes within {wave:.1e}"

    def flow_lora(self, run):
        run("prep")
        run("train")
        upstream = Upstream(run.checkpoint)
        adapter = Adapter(upstream.flow, run.trained())
        told = adapter.describe()
        folder = run.folder / "export"
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        exported, loaded = self.describe(folder)
        adapter.set_scale(SCALE)
        state = exported.flow.state_dict()
        worst = max(within(name, state[name], value, MERGED_TOLERANCE)
                    for name, value in adapter.merged().items())
        wave = self.compare_wave(run, exported, "--checkpoint", folder)
        return (f"{told}; {loaded}; within {worst:.1e} of PEFT's merge; waves of {FRAMES} codes"
                f" within {wave:.1e}")


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.full_run("full", "lm")
    check("prep", suite.prep, full)
    check("upstream's dataset", suite.dataset, full)
    check("train full", suite.train_full, full)
    check("steps of full", suite.replay_full, full)
    check("eval full", suite.eval_full, full)
    check("synth full", suite.synth_full, full)
    for name, lora in (("lora", LORA), ("rslora", RSLORA)):
        run = suite.lora_run(name, "lm", lora)
        check(f"train {name}", suite.train_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        check(f"export {name} at scale {SCALE}", suite.export, run)
    check("flow full", suite.train_flow, suite.full_run("flow", "flow"))
    check(f"flow lora at scale {SCALE}", suite.flow_lora, suite.lora_run("flow-lora", "flow", LORA))
    return check.failed
