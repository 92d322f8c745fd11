#!/usr/bin/env python3
"""Proves with upstream's own Python that it reads what ttsft writes and computes the same.

A model's own package and PEFT get the folders that build/ttsft makes of the bundled fixture.
docs/parity.md says what is compared.
For developers: neither the build nor a test nor a user needs Python.

One line per check, "ok ..." or "FAIL ...". Exit 0: all agree; 1: one does not; 2: cannot be run.
"""
import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = ["torch==2.11.0", "torchaudio==2.11.0", "peft==0.21.2", "librosa==0.11.0"]


class Model:
    """What upstream's code of a model needs.

    packages: for pip; alone: without what they depend on, which pins other versions or is not
    needed here; files: of the fixture; source: what to clone, where upstream is no package, and a
    file of it; also: a folder of that clone with more modules; trainer: a file of --finetuning.
    """

    def __init__(self, name, venv, packages, alone=(), files=(), source=None, also=None,
                 trainer=None):
        self.fixture = ROOT / "tests/fixtures" / name
        self.checks = f"upstream.{name}.checks"
        self.venv, self.packages, self.alone = ROOT / ".deps" / venv, packages, list(alone)
        self.files, self.source, self.also, self.trainer = files, source, also, trainer


MODELS = {
    "qwen3-tts": Model(
        "qwen3_tts", "upstream-venv",
        ["torch==2.11.0", "torchaudio==2.11.0", "qwen-tts==0.1.1", "peft==0.21.2"],
        files=("checkpoint/config.json", "expected/prep_in.jsonl", "expected/prep_out.jsonl"),
        trainer="dataset.py"),
    "chatterbox": Model(
        "chatterbox", "upstream-venv-chatterbox",
        [*COMMON, "transformers==5.2.0", "omegaconf", "einops", "onnx", "pillow"],
        alone=("chatterbox-tts==0.1.7", "s3tokenizer==0.3.0", "diffusers==0.29.0",
               "conformer==0.3.2"),
        files=("checkpoint/t3_cfg.safetensors", "audio/ref.wav", "expected/prep_pt")),
    "indextts2": Model(
        "indextts2", "upstream-venv-indextts2",
        [*COMMON, "transformers==4.52.1", "omegaconf", "einops", "sentencepiece"],
        files=("checkpoint/gpt.pth", "audio/ref.wav", "expected/prep/train_manifest.jsonl"),
        source=("https://github.com/index-tts/index-tts --branch v2.0.0",
                "indextts/gpt/model_v2.py"), trainer="trainers/train_gpt_v2.py"),
    "cosyvoice3": Model(
        "cosyvoice3", "upstream-venv-cosyvoice3",
        [*COMMON, "transformers==4.51.3", "HyperPyYAML==1.2.3", "omegaconf", "einops",
         "x-transformers==2.11.24", "onnxruntime", "pyworld", "pyarrow", "pandas", "inflect", "soundfile",
         "modelscope", "lightning", "hydra-core", "matplotlib", "rich", "gdown", "wget",
         "tiktoken", "more-itertools"],
        alone=("openai-whisper==20250625", "diffusers==0.29.0", "conformer==0.3.2"),
        files=("checkpoint/llm.pt", "audio/metadata.csv"),
        source=("--recursive https://github.com/FunAudioLLM/CosyVoice", "cosyvoice/llm/llm.py"),
        also="third_party/Matcha-TTS"),
    "fish-s2-pro": Model(
        "fish_s2_pro", "upstream-venv-fish",
        [*COMMON, "transformers==4.57.3", "einops", "loguru", "natsort", "hydra-core", "omegaconf",
         "loralib==0.1.2", "protobuf==4.25.8", "soundfile", "rich", "click", "tqdm", "lightning",
         "pytorch-lightning", "pyrootutils", "argbind", "ffmpy", "flatten-dict",
         "importlib-resources", "julius", "markdown2", "matplotlib", "pyloudnorm", "pystoi",
         "randomname", "tensorboard", "torch-stoi", "ipython"],
        alone=("descript-audio-codec==1.0.0", "descript-audiotools==0.7.2"),
        files=("checkpoint/codec.pth", "audio/a.wav"),
        source=("https://github.com/fishaudio/fish-speech",
                "fish_speech/models/text2semantic/llama.py")),
    "voxtral": Model(
        "voxtral", "upstream-venv-voxtral",
        ["torch==2.11.0", "peft==0.21.2", "transformers==5.13.0",
         "mistral-common[soundfile,soxr]==1.13.1", "einops", "regex", "simple-parsing==0.1.9"],
        alone=("vllm-omni==0.30.0", "mistral-inference==1.6.0"),
        files=("checkpoint/consolidated.safetensors", "checkpoint/voxtral_encoder.safetensors",
               "audio/metadata.csv")),
}


def stop(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", nargs="?", default="qwen3-tts", choices=MODELS,
                        help="default: qwen3-tts")
    parser.add_argument("--ttsft", type=Path, default=ROOT / "build/ttsft", help="the program")
    parser.add_argument("--work", type=Path, help="an empty folder to keep all files in")
    parser.add_argument("--fixture", type=Path,
                        help="holds checkpoint/, audio/ and expected/; default: the bundled one")
    parser.add_argument("--venv", type=Path,
                        help="where upstream's packages are installed once (5.6 GB); default: a"
                             " folder in .deps for each model")
    parser.add_argument("--finetuning", type=Path,
                        help="qwen3-tts: upstream's folder finetuning/, which the package lacks;"
                             " indextts2: a clone of the community's indextts2-finetuning: then"
                             " its own code reads the prepared sets too")
    parser.add_argument("--source", type=Path,
                        help="indextts2: a clone of index-tts at v2.0.0; cosyvoice3: a clone of CosyVoice"
                             " with its submodule; fish-s2-pro: a clone of fish-speech; none is a"
                             " package")
    arguments = parser.parse_args()
    model = MODELS[arguments.model]
    arguments.fixture = arguments.fixture or model.fixture
    arguments.venv = arguments.venv or model.venv
    for name in ("ttsft", "work", "fixture", "venv", "finetuning", "source"):
        if getattr(arguments, name):
            # The environment's python is a link, which must stay one.
            setattr(arguments, name, Path(os.path.abspath(getattr(arguments, name))))
    if not os.access(arguments.ttsft, os.X_OK):
        stop(f"{arguments.ttsft}: no such program; build it with tools/test")
    for part in model.files:
        if not (arguments.fixture / part).exists():
            stop(f"{arguments.fixture}: lacks {part}")
    for folder, option, part in ((arguments.finetuning, "finetuning", model.trainer),
                                 (arguments.source, "source", model.source and model.source[1])):
        if folder and not part:
            stop(f"{arguments.model} takes no --{option}")
        if folder and not (folder / part).is_file():
            stop(f"{folder}: lacks {part}")
    if model.source and not arguments.source:
        stop(f"{arguments.model} needs upstream's source: GIT_LFS_SKIP_SMUDGE=1 git clone"
             f" {model.source[0]}, and name the folder with --source")
    if arguments.work and arguments.work.exists() and any(arguments.work.iterdir()):
        stop(f"{arguments.work}: not empty; name a new folder")
    return arguments, model


def enter_environment(venv, model):
    """Goes on in upstream's environment, which is made when it is not there."""
    if Path(sys.prefix) == venv:
        return
    python, ready = venv / "bin/python", venv / "packages.txt"
    wanted = "\n".join(model.packages + model.alone) + "\n"
    if not ready.is_file() or ready.read_text() != wanted:
        print(f"installing {', '.join(model.packages + model.alone)} in {venv}", file=sys.stderr)
        install = [str(python), "pip", "install", "--quiet", "--no-cache-dir"]
        calls = [[sys.executable, "venv", str(venv)], [*install, *model.packages]]
        if model.alone:
            calls.append([*install, "--no-deps", *model.alone])
        for program, module, *words in calls:
            done = subprocess.run([program, "-m", module, *words], capture_output=True, text=True)
            if done.returncode:
                stop(f"upstream's packages cannot be had, so nothing was checked:"
                     f" {module}: {last_line(done.stderr or done.stdout)}")
        ready.write_text(wanted)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the fixture is tiny: threads only wait
    os.execv(python, [str(python), *sys.argv])


def main():
    arguments, model = parse_arguments()
    enter_environment(arguments.venv, model)
    # Rows name their audio relative to the fixture, as upstream's scripts read them.
    os.chdir(arguments.fixture)
    kept = arguments.work or Path(tempfile.mkdtemp(prefix="ttsft-upstream-"))
    kept.mkdir(parents=True, exist_ok=True)
    if arguments.source:
        sys.path.insert(1, str(arguments.source))
        if model.also:
            sys.path.insert(2, str(arguments.source / model.also))
    try:
        checks = importlib.import_module(model.checks)  # only here are upstream's packages at hand
        failed = checks.run_all(arguments, kept)
    except ImportError as error:
        stop(f"upstream's code cannot be imported, so nothing was checked: {error}")
    finally:
        if not arguments.work:
            shutil.rmtree(kept, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
