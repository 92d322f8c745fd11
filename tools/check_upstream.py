#!/usr/bin/env python3
"""Proves with upstream's own Python that it reads what ttsft writes and computes the same.

Qwen3-TTS's package (qwen-tts 0.1.1 with the transformers it pins) and PEFT get the folders that
build/ttsft makes of the bundled fixture. docs/parity.md says what is compared.
For developers: neither the build nor a test nor a user needs Python.

One line per check, "ok ..." or "FAIL ...". Exit 0: all agree; 1: one does not; 2: cannot be run.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["torch==2.11.0", "torchaudio==2.11.0", "qwen-tts==0.1.1", "peft==0.21.2"]


def stop(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ttsft", type=Path, default=ROOT / "build/ttsft", help="the program")
    parser.add_argument("--work", type=Path, help="an empty folder to keep all files in")
    parser.add_argument("--fixture", type=Path, default=ROOT / "tests/fixtures/qwen3_tts",
                        help="holds checkpoint/, audio/ and expected/")
    parser.add_argument("--venv", type=Path, default=ROOT / ".deps/upstream-venv",
                        help="where upstream's packages are installed once (5.6 GB)")
    parser.add_argument("--finetuning", type=Path,
                        help="upstream's folder finetuning/, which the package lacks: then its"
                             " dataset.py reads the prepared sets too")
    arguments = parser.parse_args()
    for name in ("ttsft", "work", "fixture", "venv", "finetuning"):
        if getattr(arguments, name):
            # The environment's python is a link, which must stay one.
            setattr(arguments, name, Path(os.path.abspath(getattr(arguments, name))))
    if not os.access(arguments.ttsft, os.X_OK):
        stop(f"{arguments.ttsft}: no such program; build it with tools/test")
    for part in ("checkpoint/config.json", "expected/prep_in.jsonl", "expected/prep_out.jsonl"):
        if not (arguments.fixture / part).is_file():
            stop(f"{arguments.fixture}: lacks {part}")
    if arguments.finetuning and not (arguments.finetuning / "dataset.py").is_file():
        stop(f"{arguments.finetuning}: lacks dataset.py")
    if arguments.work and arguments.work.exists() and any(arguments.work.iterdir()):
        stop(f"{arguments.work}: not empty; name a new folder")
    return arguments


def enter_environment(venv):
    """Goes on in upstream's environment, which is made when it is not there."""
    if Path(sys.prefix) == venv:
        return
    python, ready = venv / "bin/python", venv / "packages.txt"
    wanted = "\n".join(PACKAGES) + "\n"
    if not ready.is_file() or ready.read_text() != wanted:
        print(f"installing {', '.join(PACKAGES)} in {venv}", file=sys.stderr)
        for program, module, *words in (
                [sys.executable, "venv", str(venv)],
                [str(python), "pip", "install", "--quiet", "--no-cache-dir", *PACKAGES]):
            done = subprocess.run([program, "-m", module, *words], capture_output=True, text=True)
            if done.returncode:
                stop(f"upstream's packages cannot be had, so nothing was checked:"
                     f" {module}: {last_line(done.stderr or done.stdout)}")
        ready.write_text(wanted)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the fixture is tiny: threads only wait
    os.execv(python, [str(python), *sys.argv])


def main():
    arguments = parse_arguments()
    enter_environment(arguments.venv)
    # Rows name their audio relative to the fixture, as upstream's scripts read them.
    os.chdir(arguments.fixture)
    kept = arguments.work or Path(tempfile.mkdtemp(prefix="ttsft-upstream-"))
    kept.mkdir(parents=True, exist_ok=True)
    try:
        from upstream import checks  # only here are upstream's packages at hand
        failed = checks.run_all(arguments, kept)
    finally:
        if not arguments.work:
            shutil.rmtree(kept, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
