"""What is compared of Voxtral TTS; docs/parity.md tells it in words."""
import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from upstream.adapters import Adapter
from upstream.compare import (LOSS_TOLERANCE, compare_losses, equal_codes, require_same_tensors,
                              tell_losses, within)
from upstream.harness import Checks, Mismatch, Run
from upstream.voxtral.model import (ENCODER, RELEASE, WEIGHTS, Upstream, is_encoder, released,
                                    stored_tensors)

RECORDINGS = Path(__file__).resolve().parents[3] / "tests/fixtures/austen"
FRAMES = 16  # of speech in each comparison of generation
SCALE = 0.35  # of the exported adapters
STEPS, RATE = 4, 1e-3
DROPPED = 0.3  # of the frames, whose state the flow does not see
VALUES = 36  # of the flow, for each frame
SAMPLES = 1920  # of a frame
NEW_VOICE = "checked"
TEXT = "he might even have been made amiable himself"
TAIL = ' -- "12.5 %"  [AUDIO] Où êtes-vous ?\n'  # of a text, for the tokenizer
MERGED_TOLERANCE = 1e-6
TRAINED_TOLERANCE, TRAINED_WORST = 2e-5, 2e-3  # of 999 in 1000 values, and of all
RELATIVE_TOLERANCE = 2e-5  # of the largest value
BACKBONE = r"layers\.\d+\.(attention\.(wq|wk|wv|wo)|feed_forward\.(w1|w2|w3))"
LORA = {"rank": 4, "alpha": 8}
RSLORA = {"rank": 3, "alpha": 5, "rslora": True,
          "targets": r"(acoustic_transformer\.)?layers\.\d+\.attention\.(wq|wv)"}


def trained_within(got, want):
    """Of all values together: AdamW makes a whole step of a gradient that is rounding alone."""
    if got.keys() != want.keys():
        raise Mismatch(f"trained names differ: {sorted(got.keys() ^ want.keys())[:3]}")
    worst = max(within(name, got[name], value, TRAINED_WORST) for name, value in want.items())
    differences = [(got[name] - value).abs().flatten().numpy() for name, value in want.items()]
    within("999 of 1000 trained values", np.quantile(np.concatenate(differences), 0.999), 0,
           TRAINED_TOLERANCE)
    return worst


def rounded_within(what, got, want, tolerance):
    """In the type that it is stored in; how far off that is, its own rounding included."""
    if got.shape != want.shape:
        raise Mismatch(f"{what}: shape {tuple(got.shape)}, upstream {tuple(want.shape)}")
    low, high = ((want.double() + side).to(got.dtype) for side in (-tolerance, tolerance))
    if not ((low <= got) & (got <= high)).all():
        worst = (got.double() - want.double()).abs().max()
        raise Mismatch(f"{what}: differs by {worst:.3g} from upstream in {got.dtype}")
    return (got.double() - want.double()).abs().max().item()


class Suite:
    """The checks, and the runs of ttsft that they look at.

    The first clip is told a voice of the release, the second the first clip, the others a
    recording. To the fixture's clips come bundled ones of another rate, which both sides resample.
    """

    def __init__(self, arguments, work):
        self.arguments, self.work, self.fixture = arguments, work, arguments.fixture
        self.base = Upstream(self.fixture / "checkpoint")
        self.presets = list(self.base.speakers)
        said, files = {}, {}
        for folder in (self.fixture / "audio", RECORDINGS):
            for line in (folder / "metadata.csv").read_text(encoding="utf-8").splitlines():
                name, *texts = line.split("|")
                said[name] = texts[-1]
                files[name] = next(folder.rglob(f"{name}.wav"))
        first, second, *_, last = said
        said[second] += TAIL
        self.reference = files[last]
        self.voices = dict.fromkeys(said, self.reference)
        self.voices |= {first: self.presets[0], second: files[first]}
        references = {first: f"voice:{self.presets[0]}", second: first}
        self.source = work / "clips.jsonl"
        self.source.write_text("".join(json.dumps({
            "id": name, "text": text, "audio": str(files[name]), "speaker": "reader",
            **({"ref": references[name]} if name in references else {})}) + "\n"
            for name, text in said.items()), encoding="utf-8")
        self.draw(files)

    def draw(self, files):
        """Random tensors of every clip, for eval and for each step, and of speech."""
        generator, self.drawn = torch.Generator().manual_seed(1), {}
        for name, file in files.items():
            frames = -(-len(self.base.recording(file)) // SAMPLES)
            for step in ("", *(f"{step}." for step in range(1, STEPS + 1))):
                chances = torch.rand(2, frames, generator=generator)
                self.drawn |= {
                    f"{step}{name}.x0": torch.randn(frames, VALUES, generator=generator),
                    f"{step}{name}.t": chances[0].clone(),
                    f"{step}{name}.drop": (chances[1] < DROPPED).float()}
        self.replay = self.work / "draws.safetensors"
        save_file(self.drawn, self.replay)
        self.noise = torch.randn(FRAMES, VALUES, generator=generator)
        self.noise_file = self.work / "noise.safetensors"
        save_file({"noise": self.noise}, self.noise_file)

    def draws(self, name, step=None):
        prefix = f"{step}.{name}" if step else name
        return {kind: self.drawn[f"{prefix}.{kind}"] for kind in ("x0", "t", "drop")}

    def run(self, name, method, **sections):
        return Run(
            "voxtral", self.arguments.ttsft, self.fixture, self.work / name,
            data={"source": self.source, "reference": self.reference},
            train={"method": method, "steps": STEPS, "replay": self.replay, "optimizer": {
                "learning_rate": RATE, "weight_decay": 0.01, "betas": [0.9, 0.999]}},
            eval={"split": "all", "checkpoints": ["base", "last"], "replay": self.replay},
            accept_license="cc-by-nc-4.0", voxtral={"min_frames": 0}, **sections)

    def lora_run(self, name, lora, checkpoint):
        """From an adapter that PEFT has made."""
        torch.manual_seed(1)
        made = get_peft_model(Upstream(checkpoint).release, LoraConfig(
            r=lora["rank"], lora_alpha=lora["alpha"], use_rslora=lora.get("rslora", False),
            target_modules=lora.get("targets", BACKBONE)))
        made.save_pretrained(str(self.work / f"{name}-init"))
        return self.run(name, "lora", checkpoint=checkpoint,
                        lora={**lora, "dropout": 0, "init_from": self.work / f"{name}-init"})

    def stored_in_bf16(self):
        """The base as the release stores it."""
        base, folder = self.fixture / "checkpoint", self.work / "bf16"
        folder.mkdir()
        for file in base.iterdir():
            if file.name == RELEASE:
                save_file({name: value.bfloat16() for name, value in load_file(file).items()},
                          folder / RELEASE)
            else:
                (folder / file.name).symlink_to(file)
        return folder

    # Prepared sets.

    def prep(self, run):
        run("prep")
        rows, count = run.rows(), 0
        if {row["id"] for row in rows} != self.voices.keys():
            raise Mismatch(f"clips {sorted(row['id'] for row in rows)} are prepared")
        for row in rows:
            name, wave = row["id"], self.base.recording(row["audio"])
            if (row["n_samples"], row["n_frames"]) != (len(wave), -(-len(wave) // SAMPLES)):
                raise Mismatch(f"{name}: {row['n_samples']} samples, {row['n_frames']} frames;"
                               f" upstream {len(wave)} samples")
            count += equal_codes(f"{name}: codes", row["codes"], self.base.encode(wave))
            if "ref_codes" in row:
                codes = np.load(run.folder / "prepared" / row["ref_codes"])
                voice = self.base.encode(self.base.recording(self.voices[name]))
                count += equal_codes(f"{name}: codes of its voice", codes, voice)
        return f"{len(rows)} clips, {count} codes equal to those of upstream's encoder in float32"

    def prompts(self, run):
        """Text ids as mistral-common's, in the prompt that it makes around them."""
        ids, texts = self.base.tokenizer.audio_encoder, 0
        frames = {row["id"]: row["n_frames"] for row in run.rows()}
        for row in run.rows():
            voice, text = self.voices[row["id"]], row["text_ids"]
            equal_codes(f"{row['id']}: text ids", text, self.base.text_ids(row["text"]))
            if "ref_codes" in row:
                heard = len(np.load(run.folder / "prepared" / row["ref_codes"])) + 1
            elif row["ref"] in frames:
                heard = frames[row["ref"]] + 1
            else:
                heard = len(self.base.preset(voice))
            prompt = [self.base.tokenizer.tokenizer.bos_id, ids.begin_audio_token,
                      *[ids.audio_token] * heard, ids.text_to_audio_token, *text,
                      ids.audio_to_text_token, ids.begin_audio_token]
            equal_codes(f"{row['id']}: prompt", prompt, self.base.request(row["text"], voice)[0])
            texts += len(text)
        return (f"{texts} text ids equal to mistral-common's, and so are the prompts with a preset,"
                " with a clip and with a recording")

    # Full fine-tuning.

    def describe(self, folder):
        """Upstream's modules take every tensor of the folder, and every voice."""
        upstream = Upstream(folder)
        state = released(upstream.release.state_dict())
        counts = []
        for file, stored, encoder in zip((RELEASE, ENCODER), stored_tensors(folder), (False, True)):
            own = {name: value for name, value in state.items() if is_encoder(name) == encoder}
            counts.append(require_same_tensors(file, own, stored))
        for voice in upstream.speakers:
            rows, ids = upstream.preset(voice), upstream.request("", voice)[0]
            places = ids.count(upstream.model.audio_tok_id)
            if rows.dtype != torch.bfloat16 or len(rows) != places:
                raise Mismatch(f"voice {voice}: {len(rows)} rows in {rows.dtype}, tekken.json has"
                               f" {places}")
        return upstream, (f"upstream loads {counts[0]} tensors and {counts[1]} of the encoder, none"
                          f" missing or unknown, and {len(upstream.speakers)} voices")

    def train_full(self, run):
        run("train")
        after, told = self.describe(run.trained())
        before, trained = released(self.base.release.state_dict()), after.trainable()
        for name, value in released(after.release.state_dict()).items():
            if torch.equal(before[name], value) == (name in trained):
                raise Mismatch(f"{name} is {'not ' if name in trained else ''}trained")
        return f"{told}; {len(trained)} are trained, the others untouched"

    def replay_full(self, run):
        """The same steps by torch's optimizer on upstream's modules."""
        replayed = Upstream(run.checkpoint)
        wanted = replayed.trainable()
        losses = replayed.train(wanted.values(), run.rows(), self.voices, self.draws, STEPS, RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        got = Upstream(run.trained()).trainable()
        worst = trained_within(got, {name: value.detach() for name, value in wanted.items()})
        return (f"{STEPS} steps by torch on upstream's modules: losses within {difference:.1e},"
                f" trained tensors within {worst:.1e}")

    def compare_eval(self, run, after):
        base, last = run.eval()
        told = [run.rows(), self.voices, self.draws]
        return tell_losses(
            compare_losses("base", base, Upstream(run.checkpoint).losses(*told), WEIGHTS),
            compare_losses("checkpoint", last, after.losses(*told), WEIGHTS))

    def eval_full(self, run):
        return self.compare_eval(run, Upstream(run.trained()))

    def compare_speech(self, run, upstream, voice, *flags):
        """Greedy codes in a voice: how many; and how far off their wave is."""
        file, out = run.folder / "codes.safetensors", run.folder / "speech.wav"
        named = ("--set", f"data.speaker={voice}") if voice in upstream.speakers else ()
        run("synth", "--greedy", "--text", TEXT, "--noise", self.noise_file, "--max-frames", FRAMES,
            "--codes-out", file, "--out", out, *flags, *named)
        codes = load_file(file)["codes"]
        count = equal_codes("codes", codes, upstream.greedy(TEXT, voice, self.noise))
        got, want = soundfile.read(out, dtype="float32")[0], upstream.wave(codes)
        peak = want.abs().max().item()
        return count, within("wave", got, want, RELATIVE_TOLERANCE * peak) / peak

    def compare_voices(self, run, upstream, *flags):
        preset, a = self.compare_speech(run, upstream, self.presets[-1], *flags)
        recording, b = self.compare_speech(run, upstream, self.reference, *flags)
        return (f"{preset} greedy codes equal in a voice of the release and {recording} in that of"
                f" a recording, waves within {max(a, b):.1e} of their peak")

    def synth_full(self, run):
        return self.compare_voices(run, Upstream(run.trained()), "--checkpoint", "last")

    # LoRA.

    def with_adapter(self, run):
        upstream = Upstream(run.checkpoint)
        return upstream, Adapter(upstream.release, run.trained())

    def train_lora(self, run):
        run("prep")
        run("train")
        return self.with_adapter(run)[1].describe()

    def replay_lora(self, run):
        replayed = Upstream(run.checkpoint)
        adapter = Adapter(replayed.release, run.folder.with_name(f"{run.folder.name}-init"))
        parameters = [value for name, value in adapter.peft.named_parameters() if "lora_" in name]
        losses = replayed.train(parameters, run.rows(), self.voices, self.draws, STEPS, RATE)
        difference = within("loss of a step", run.step_losses(), losses, LOSS_TOLERANCE)
        worst = trained_within(load_file(run.trained() / "adapter_model.safetensors"),
                               get_peft_model_state_dict(adapter.peft))
        return (f"{STEPS} steps by torch with PEFT: losses within {difference:.1e}, adapter within"
                f" {worst:.1e}")

    def eval_lora(self, run):
        return self.compare_eval(run, self.with_adapter(run)[0])

    def synth_lora(self, run):
        return self.compare_voices(run, self.with_adapter(run)[0], "--checkpoint", "last")

    def export(self, run):
        folder, (_, adapter) = run.folder / "export", self.with_adapter(run)
        run("export", "--checkpoint", "last", "--lora-scale", SCALE, "--out", folder)
        upstream, told = self.describe(folder)
        adapter.set_scale(SCALE)
        merged, got = released(adapter.merged()), stored_tensors(folder)[0]
        worst = max(rounded_within(name, value, merged[name], MERGED_TOLERANCE)
                    for name, value in got.items())
        speech = self.compare_voices(run, upstream, "--checkpoint", folder)
        kind = got["norm.weight"].dtype
        return (f"{told}; weights are PEFT's merge, {worst:.1e} or less off as {kind} holds them;"
                f" {speech}")

    # A voice that upstream can serve.

    def voice(self, run):
        folder, named = run.folder / "voice", ("--set", f"data.speaker={NEW_VOICE}")
        run("export", "--checkpoint", "base", "--out", folder, *named)
        upstream, told = self.describe(folder)
        if list(upstream.speakers) != [*self.presets, NEW_VOICE]:
            raise Mismatch(f"params.json has the voices {list(upstream.speakers)}")
        if upstream.speakers[NEW_VOICE] != len(self.presets):
            raise Mismatch(f"params.json gives the voice index {upstream.speakers[NEW_VOICE]}")
        wave = self.base.recording(self.reference)
        want = self.base.model.embed_multimodal(audio_arrays=[wave])[0]
        worst = rounded_within("rows of the voice", upstream.preset(NEW_VOICE), want,
                               RELATIVE_TOLERANCE * want.abs().max().item())
        count, _ = self.compare_speech(run, upstream, NEW_VOICE, "--checkpoint", folder)
        return (f"{told}; {len(want)} rows are upstream's, {worst:.1e} or less off as bfloat16"
                f" holds them; {count} greedy codes equal in the new voice")


def run_all(arguments, work):
    """Runs every check; the number that failed."""
    suite, check = Suite(arguments, work), Checks()
    full = suite.run("full", "full")
    check("prep", suite.prep, full)
    check("prompts", suite.prompts, full)
    check("train full", suite.train_full, full)
    check("steps of full", suite.replay_full, full)
    check("eval full", suite.eval_full, full)
    check("synth full", suite.synth_full, full)
    for name, lora, checkpoint in (("lora", LORA, arguments.fixture / "checkpoint"),
                                   ("rslora", RSLORA, suite.stored_in_bf16())):
        run = suite.lora_run(name, lora, checkpoint)
        check(f"train {name}", suite.train_lora, run)
        check(f"steps of {name}", suite.replay_lora, run)
        check(f"eval {name}", suite.eval_lora, run)
        check(f"synth {name}", suite.synth_lora, run)
        check(f"export {name} at scale {SCALE}", suite.export, run)
    check("export of a voice", suite.voice, full)
    return check.failed
