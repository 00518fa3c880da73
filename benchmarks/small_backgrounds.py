"""Own models, pretrained models as they come and adapted ones, where the background is small.

Usage: python benchmarks/small_backgrounds.py DATA --models HALF-0 [--sizes 0 5 10 20] [--draws 4] [--enrolled 15]
       [--work FOLDER]

DATA holds the corpus so762. HALF-0 is a folder that ``pretrained.py build speech16k --half 0`` wrote. The enrolled and
the background speakers are drawn among the other half, whom these models do not know. Each row is the mean over the
draws: the scores of all front ends, added, with the settings that `init` plans. Stored stages in the work folder are
used again.
"""

import argparse
from collections.abc import Collection
from pathlib import Path

import numpy as np
from draws import fewer_speakers, kaldi, read_pairs, write_list
from meetings import half_of, recordings

from speechgmm import Engine, run
from speechgmm.gallery import pretrained
from speechgmm.recipe.preparing.choice_of_systems import (
    ADAPTATION,
    BEST,
    BEST_PRETRAINED,
    ENOUGH_COHORT,
    NORMALISATION,
    SHRINKAGE,
)

VARIANTS = {
    "own": (BEST, "ubm: {n_components: 64}"),
    "pretrained": (BEST_PRETRAINED, "ubm: {pretrained: speech}"),
    "pretrained, adapted": (BEST_PRETRAINED, f"ubm: {{pretrained: speech, adapt: {ADAPTATION}}}"),
}
"""The systems of each variant, and the background model of all of them."""


def draw(source: Path, n_background: int, n_enrolled: int, seed: int, folder: Path, known: Collection[str]) -> Path:
    """Draw background speakers and enrolled ones among those that are given; tests are of the enrolled."""
    fewer_speakers(source, n_background, seed, folder, known)
    names = sorted({*read_pairs(source / "lists/enrol/utt2spk").values()} & {*known})
    rng = np.random.default_rng(seed)
    enrolled = {names[number] for number in rng.permutation(len(names))[:n_enrolled]}
    kept = {*enrolled}
    for role in ("enrol", "test"):
        speakers = read_pairs(source / f"lists/{role}/utt2spk")
        drawn = {name for name, speaker in speakers.items() if speaker in enrolled}
        write_list(folder / f"lists/{role}", source / f"lists/{role}", drawn, source)
        kept |= drawn
    for path in folder.glob("trials*.txt"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if {*line.split()[:2]} <= kept), encoding="utf-8")
    return folder


def measure(root: Path, variant: str, n_background: int, work: Path) -> tuple[float, float]:
    """Run the systems of a variant on a draw, and return the EER in % and Cllr."""
    names, keys = VARIANTS[variant]
    zt = f"method: {NORMALISATION}, shrinkage: {SHRINKAGE}"
    normalisation = zt if n_background >= ENOUGH_COHORT else "method: none"
    systems = ", ".join(f"{{base: {name}, {keys}, normalisation: {{{normalisation}}}}}" for name in names)
    corpus = kaldi(root) if n_background else kaldi(root, background=None)
    overrides = [
        *(f"corpus.{key}={'null' if value is None else value}" for key, value in corpus.items()),
        f"systems=[{systems}]",
        f"name={root.name}-{variant.replace(', ', '-')}",
    ]
    done = run("best", overrides=overrides, results=work / "results", engine=Engine("serial"), until_stage="evaluation")
    found = done.metrics["trials"]["trials"]
    return 100 * found["eer"], found["cllr"]


def main() -> None:
    """Measure every variant on every draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 5, 10, 20])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--enrolled", type=int, default=15)
    parser.add_argument("--work", type=Path, default=Path("results/small_backgrounds"))
    chosen = parser.parse_args()
    pretrained.pretrained_folder = lambda: chosen.models.resolve()
    work, source = chosen.work.resolve(), chosen.data.resolve() / "so762"
    unknown = half_of(recordings(source.parent, "so762"), 1)
    print("| background speakers | models | EER, % | Cllr |\n|---|---|---|---|")
    for size in chosen.sizes:
        roots = [
            draw(
                source, size, chosen.enrolled, seed, work / "draws" / f"so762-{size}-{chosen.enrolled}-{seed}", unknown
            )
            for seed in range(chosen.draws)
        ]
        for variant in VARIANTS if size else ["pretrained"]:  # without a background there is nothing else
            eer, cllr = np.mean([measure(root, variant, size, work) for root in roots], axis=0)
            print(f"| {size} | {variant} | {eer:.1f} | {cllr:.3f} |", flush=True)


if __name__ == "__main__":
    main()
