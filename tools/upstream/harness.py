"""ttsft's side of tools/check_upstream.py: its run files and commands, and how results are told."""
import json
import subprocess


class Mismatch(Exception):
    """What differs, in one line."""


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1]


def read_rows(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


class Checks:
    """Runs checks by name and prints a line for each."""

    def __init__(self):
        self.failed = 0

    def __call__(self, name, check, *arguments):
        try:
            print(f"ok   {name}: {check(*arguments)}", flush=True)
            return
        except Mismatch as difference:
            reason = str(difference)
        except Exception as error:  # upstream's refusals are of any type
            reason = f"{type(error).__name__}: {last_line(str(error))}"
        self.failed += 1
        print(f"FAIL {name}: {reason}", flush=True)


class Run:
    """A run of ttsft in a folder of its own: on the CPU, all rows in one batch."""

    def __init__(self, model, program, fixture, folder, **sections):
        self.program, self.fixture, self.folder = program, fixture, folder
        folder.mkdir()
        run = {"model": model, "checkpoint": fixture / "checkpoint", "run": folder / "run",
               "device": "cpu", "precision": "fp32",
               "eval": {"split": "all", "checkpoints": ["base", "last"]},
               "synth": {"format": "float32"}, **sections}
        run["data"] = {"prepared": folder / "prepared", "validation": 0, **run["data"]}
        run["train"] = {"batch_utterances": 64, "shuffle": False, **run["train"],
                        "checkpoint_every": run["train"]["steps"]}
        self.checkpoint = run["checkpoint"]
        self.file = folder / "run.yaml"
        self.file.write_text(json.dumps(run, default=str, indent=1))  # JSON is YAML

    def __call__(self, command, *flags):
        """Runs a command in the fixture's folder, where its rows find their audio."""
        call = [self.program, command, self.file, "--quiet", *flags]
        done = subprocess.run([str(word) for word in call], cwd=self.fixture, capture_output=True,
                              text=True)
        if done.returncode:
            raise Mismatch(f"ttsft {command}: exit {done.returncode}: {last_line(done.stderr)}")
        return done.stdout

    def rows(self):
        return read_rows(self.folder / "prepared/train.jsonl")

    def trained(self):
        """The checkpoint that train left."""
        folders = sorted((self.folder / "run/checkpoints").glob("step-*"))
        if not folders:
            raise Mismatch("ttsft train wrote no checkpoint")
        return folders[-1]

    def step_losses(self):
        metrics = read_rows(self.folder / "run/metrics.jsonl")
        return [row["loss"] for row in metrics if "loss" in row]

    def eval(self, *flags):
        """Two rows of the report: the base's and that of the last checkpoint."""
        rows = json.loads(self("eval", "--json", *flags))["checkpoints"]
        if len(rows) != 2 or rows[0]["name"] != "base":
            raise Mismatch(f"ttsft eval reports {[row['name'] for row in rows]}, not base and last")
        return rows
