"""Upstream's side for Chatterbox: what chatterbox-tts and PEFT make of folders and clips."""
import contextlib
import sys
import types
import warnings
from pathlib import Path
from unittest import mock

import librosa
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


class NoWatermark:
    """In place of the package perth, which marks waves; no wave is compared here."""

    def apply_watermark(self, wave, sample_rate):
        return wave


sys.modules["perth"] = types.ModuleType("perth")
sys.modules["perth"].PerthImplicitWatermarker = NoWatermark
with contextlib.redirect_stdout(sys.stderr):
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts import ChatterboxTTS, punc_norm

from upstream.compare import adamw_steps, require_same_tensors, summed

RATE = 16000
SELF_PROMPT = 3 * RATE  # samples of a clip that tell its own voice
WEIGHTS = {"text": 1.0, "speech": 1.0}
EMOTION = 0.5
PENALTY = 1.2  # of repetition, upstream's default


def likeliest(probabilities, num_samples):
    """torch.multinomial without chance."""
    return probabilities.argmax(-1, keepdim=True)


class Upstream:
    """A folder in the released layout, loaded by ChatterboxTTS.from_local on the CPU."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.tts = ChatterboxTTS.from_local(self.folder, "cpu")
        self.t3, self.config = self.tts.t3, self.tts.t3.hp

    def count_tensors(self):
        """Proves that T3, voice encoder and S3Gen hold exactly their files' tensors."""
        return [require_same_tensors(name, module.state_dict(), load_file(self.folder / name),
                                     optional)
                for name, module, optional in (
                    ("t3_cfg.safetensors", self.t3, ()), ("ve.safetensors", self.tts.ve, ()),
                    ("s3gen.safetensors", self.tts.s3gen, S3Gen.ignore_state_dict_missing))]

    # Clips.

    def encode(self, row):
        """A clip as community trainers cache it, by upstream's encoders."""
        wave, _ = librosa.load(row["audio"], sr=RATE)
        tokenizer = self.tts.s3gen.tokenizer
        prompt = F.pad(torch.from_numpy(wave)[:SELF_PROMPT], (0, max(0, SELF_PROMPT - len(wave))))
        return {"codes": tokenizer([wave])[0][0], "prompt": tokenizer([prompt])[0][0],
                "text": self.tts.tokenizer.text_to_tokens(punc_norm(row["text"]))[0].long(),
                "speaker": torch.from_numpy(self.tts.ve.embeds_from_wavs([wave], RATE))[0]}

    def condition_of(self, clip):
        return clip["speaker"], clip["prompt"]

    def condition_of_recording(self, file):
        """Speaker vector and prompt that upstream itself makes of a reference."""
        self.tts.prepare_conditionals(file)
        voice = self.tts.conds.t3
        return voice.speaker_emb[0], voice.cond_prompt_speech_tokens[0]

    def forward(self, speaker, prompt, text, speech):
        condition = T3Cond(speaker_emb=speaker, cond_prompt_speech_tokens=prompt,
                           emotion_adv=EMOTION * torch.ones(1, 1, 1))
        return self.t3(t3_cond=condition, text_tokens=text,
                       text_token_lens=torch.tensor([text.shape[1]]), speech_tokens=speech,
                       speech_token_lens=torch.tensor([speech.shape[1]]))

    # Losses.

    def cross_entropies(self, clip, condition):
        """{term: [labels]} by T3.forward; each state predicts the id that follows it."""
        text = F.pad(clip["text"], (1, 0), value=self.config.start_text_token)
        text = F.pad(text, (0, 1), value=self.config.stop_text_token)
        speech = F.pad(clip["codes"], (1, 0), value=self.config.start_speech_token)
        speaker, prompt = condition
        out = self.forward(speaker[None], prompt[None], text[None], speech[None])
        stop = F.pad(speech[1:], (0, 1), value=self.config.stop_speech_token)
        return {"text": F.cross_entropy(out.text_logits[0, :-1], text[1:], reduction="none"),
                "speech": F.cross_entropy(out.speech_logits[0], stop, reduction="none")}

    @torch.no_grad()
    def losses(self, clip, condition):
        """{term: (summed cross entropy, labels)} of a clip."""
        return summed(self.cross_entropies(clip, condition))

    def train(self, clips, steps, learning_rate):
        """Steps of AdamW on all clips, each told its own voice; the loss before each."""
        def cross_entropies():
            return [self.cross_entropies(clip, self.condition_of(clip)) for clip in clips]
        return adamw_steps(self.t3.parameters(), cross_entropies, WEIGHTS, steps, learning_rate)

    # Generation.

    def generated(self, text, frames):
        """Codes that ChatterboxTTS.generate hands to S3Gen, the likeliest each time."""
        t3, decoder = self.t3.inference, self.tts.s3gen.inference
        with mock.patch("torch.multinomial", likeliest), \
                mock.patch("chatterbox.models.t3.t3.tqdm", lambda steps, **_: steps), \
                mock.patch.object(self.t3, "inference", lambda **options: t3(
                    **{**options, "max_new_tokens": frames})), \
                mock.patch.object(self.tts.s3gen, "inference", wraps=decoder) as spoken:
            self.tts.generate(text)
        return spoken.call_args.kwargs["speech_tokens"]

    @torch.no_grad()
    def generated_as_trained(self, text, frames):
        """The same without guidance from one start token, which upstream's loop cannot do."""
        ids = self.tts.tokenizer.text_to_tokens(punc_norm(text)).long()
        ids = F.pad(F.pad(ids, (1, 0), value=self.config.start_text_token), (0, 1),
                    value=self.config.stop_text_token)
        codes = torch.tensor([[self.config.start_speech_token]])
        punish = transformers.RepetitionPenaltyLogitsProcessor(PENALTY)
        voice = self.tts.conds.t3
        for _ in range(frames):
            out = self.forward(voice.speaker_emb, voice.cond_prompt_speech_tokens, ids, codes)
            best = punish(codes, out.speech_logits[:, -1]).argmax(-1, keepdim=True)
            if best.item() == self.config.stop_speech_token:
                break
            codes = torch.cat([codes, best], dim=1)
        return codes[codes < self.config.start_speech_token]
