"""Fuzz every reader, or those that are named: `python tests/fuzz/run.py "npy files" audio`.

Inputs are made of valid ones, and of those before them that reached code which none had reached until then (atheris),
half of them by the faults of `mutations` and half by libFuzzer's own. Each target has a process of its own, with 1 GB
of memory above what it begins with, and 5 s of computing for an input. What is found is kept below results/fuzz.
"""

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

N_INPUTS = 10_000
SECONDS = 5
"""Of computing; whoever waits for longer than `PATIENCE` hangs, however busy the machine is."""

PATIENCE = 60
MEMORY = 2**30
LONGEST = 2**16
"""Bytes of an input."""

ROOT = Path(__file__).parents[2]
PACKAGES = ("speechgmm", "ruamel", "kaldiio", "zipfile", "csv", "shlex")
"""What is watched for code that was not reached before."""


class Outcome(NamedTuple):
    """What came of a process."""

    n_inputs: int
    n_read: int
    found: tuple[str, ...]


def main(names: Sequence[str]) -> int:
    """Fuzz, and print a line of the table for each target; 1 if anything was found."""
    from targets import TARGETS

    n_found = 0
    print("| target | inputs | of them read | seconds | findings |\n| --- | --- | --- | --- | --- |")
    for name in names or TARGETS:
        begin = time.monotonic()
        outcome = _all_inputs(name)
        n_found += len(outcome.found)
        seconds = time.monotonic() - begin
        numbers = f"{outcome.n_inputs:,} | {outcome.n_read:,} | {seconds:.0f} | {len(outcome.found)}"
        print(f"| {name} | {numbers} |", flush=True)
        for each in outcome.found:
            print(f"{name}: {each}", file=sys.stderr)
    return int(n_found > 0)


def _all_inputs(name: str) -> Outcome:
    """Run processes, each with other random numbers, until there were enough inputs; a hang or a crash ends one."""
    kept = ROOT / "results" / "fuzz" / name.replace(" ", "-")
    kept.mkdir(parents=True, exist_ok=True)
    total = Outcome(0, 0, ())
    for seed in itertools.count(1):
        n_left = N_INPUTS - total.n_inputs
        if n_left <= 0:
            break
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["--target", name, folder, str(n_left), str(seed), str(kept)]
            ended = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, check=False)
            told = Path(folder) / "outcome.json"
            if not told.exists():
                raise SystemExit(f"{name}: {ended.stderr.decode(errors='replace')}")
            n_inputs, n_read, found = json.loads(told.read_text())
        if ended.returncode:
            last = (kept / "last").rename(kept / f"last-of-{seed}")
            found = [*found, f"a process ended with {ended.returncode}; its last input is {last}"]
        total = Outcome(total.n_inputs + n_inputs, total.n_read + n_read, (*total.found, *found))
    return total


def _one_process(name: str, folder: Path, n_inputs: int, seed: int, kept: Path) -> None:
    """Try inputs until there were enough, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(PACKAGES)):
        from targets import TARGETS

    target = TARGETS[name]
    warnings.simplefilter("error")
    work, corpus = folder / "work", folder / "corpus"
    work.mkdir()
    corpus.mkdir()
    os.chdir(work)
    valid = target.prepare(work)
    for number, each in enumerate(valid):
        (corpus / f"{number}").write_bytes(each)
    n_tried = n_read = 0
    found: dict[str, str] = {}

    def tell() -> None:
        """Write what came of it so far."""
        (folder / "outcome.json").write_text(json.dumps([n_tried, n_read, list(found.values())]))

    def attempt(data: bytes) -> None:
        """Try an input."""
        nonlocal n_tried, n_read
        if n_tried == 0:
            _limit_memory()
        n_tried += 1
        if n_tried % 100 == 1:
            tell()
        (kept / "last").write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # whose signal ends the process
        try:
            n_read += target.attempt(data, work) > 0
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            last = traceback.extract_tb(error.__traceback__)[-1]
            if (key := f"{type(error).__name__} {last.filename}:{last.lineno}") not in found:
                path = kept / f"{type(error).__name__}-{len(found)}"
                path.write_bytes(data)
                found[key] = f"{key}: {error} ({path})"
                tell()
        signal.setitimer(signal.ITIMER_PROF, 0)
        if n_tried == n_inputs:
            tell()
            os._exit(0)

    def change(data: bytes, max_size: int, number: int) -> bytes:
        """Make an input of another, as libFuzzer does or as `mutations` do."""
        rng = np.random.default_rng(number)
        return atheris.Mutate(data, max_size) if rng.integers(2) else target.change(data, valid, rng)[:max_size]

    limits = (f"-timeout={PATIENCE}", f"-max_len={LONGEST}", "-rss_limit_mb=0")
    atheris.Setup(
        [sys.argv[0], *limits, f"-seed={seed}", f"-artifact_prefix={kept}/", str(corpus)],
        attempt,
        custom_mutator=change,
    )
    atheris.Fuzz()


def _limit_memory() -> None:
    """Allow so much memory above what is taken now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        _one_process(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), Path(sys.argv[6]))
    sys.exit(main(sys.argv[1:]))
