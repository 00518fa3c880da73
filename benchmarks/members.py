"""Pretrained systems alone, beside and fused with systems of the corpus's own background, which may be small.

Usage: python benchmarks/members.py DATA --models NO-SO762 HALF-0 [--sizes 65 14 5] [--draws 5] [--work FOLDER]

DATA holds the corpora so762 and libri. NO-SO762 and HALF-0 are folders that ``pretrained.py build speech16k``
wrote, ``--without so762`` and ``--half 0``: models that know neither the speakers who are tested nor those of the
background, who are also what calibration learns on. No models of the package know the ten speakers of libri who are
tested; its background is drawn from those of the other half. Each row is the mean over the draws of that many
background speakers. Stored stages in the work folder are used again.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from draws import count_speakers, degrade_tests, fewer_speakers, kaldi
from meetings import half_of, recordings

from speechgmm import Engine, run
from speechgmm.gallery import pretrained

OWN = ("mfcc_raw", "mfcc_full", "lfcc")
FRONT_ENDS = ("mfcc_raw", "mfcc_full", "lfcc_full")
PLDA = tuple(f"pretrained_{name}_plda" for name in FRONT_ENDS)
VARIANTS: Mapping[str, Sequence[str]] = {
    "own three": OWN,
    "pretrained": (*(f"pretrained_{name}" for name in FRONT_ENDS), *PLDA),
    "own three and pretrained PLDA": (*OWN, *PLDA),
}


class Tested(NamedTuple):
    """A corpus with a background to test on."""

    corpus: str
    root: Path
    n_speakers: int
    seed: int
    models: Path  # of other speakers


def corpora(data: Path, work: Path, models: Sequence[Path], sizes: Sequence[int], n_draws: int) -> Iterator[Tested]:
    """Yield each corpus with backgrounds of each size; one that has no more speakers is drawn once."""
    unknown = {"so762": None, "libri": half_of(recordings(data, "libri"), 1)}
    for (corpus, drawn_from), folder in zip(unknown.items(), models, strict=True):
        source = data / corpus
        for size in sizes:
            whole = size >= count_speakers(source)
            for seed in range(1 if whole else n_draws):
                name = f"{corpus}-{size}-{seed}"
                made = work / "draws" / name
                root = source if whole else fewer_speakers(source, size, seed, made, drawn_from)
                yield Tested(corpus, root, size, seed, folder)
                if corpus == "so762":
                    band = degrade_tests(root, "band", work / "draws" / f"{name}-band")
                    yield Tested("so762, telephone band", band, size, seed, folder)


def measure(tested: Tested, variant: str, work: Path) -> dict[str, float]:
    """Run the systems of a variant, and return its EER in % and the costs of its ratios."""
    pretrained.pretrained_folder = lambda: tested.models
    overrides = [
        f"corpus={json.dumps(kaldi(tested.root))}",
        f"systems={json.dumps(VARIANTS[variant])}",
        f"seed={tested.seed}",
        f"name={tested.root.name}-{variant.replace(' ', '_')}",
        *(["calibration.systems=scaled"] if "pretrained" in variant else []),
    ]
    done = run("best", overrides=overrides, results=work / "results", engine=Engine("serial"), until_stage="evaluation")
    found = done.metrics["trials"]["trials"]
    return {"eer": 100 * found["eer"]} | {cost: found.get(cost) for cost in ("cllr", "min_cllr")}


def main() -> None:
    """Measure every variant on every corpus, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, nargs=2, required=True)
    parser.add_argument("--work", type=Path, default=Path("results/members"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[65, 14, 5])
    parser.add_argument("--draws", type=int, default=5)
    chosen = parser.parse_args()
    work = chosen.work.resolve()
    rows: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    for tested in corpora(chosen.data.resolve(), work, chosen.models, chosen.sizes, chosen.draws):
        for variant in VARIANTS:
            found = measure(tested, variant, work)
            rows.setdefault((tested.corpus, tested.n_speakers, variant), []).append(found)
            print(tested.root.name, variant, found, flush=True)
    print("| corpus | own background | systems | EER, % | Cllr | least |\n|---|---|---|---|---|---|")
    for (corpus, n_speakers, variant), those in rows.items():
        means = [_mean([each[key] for each in those]) for key in ("eer", "cllr", "min_cllr")]
        print(f"| {corpus} | {n_speakers} | {variant} | {' | '.join(means)} |")


def _mean(values: Sequence[float | None]) -> str:
    """Format the mean of values; a dash where one is missing."""
    return "-" if None in values else f"{fmean(each for each in values if each is not None):.3g}"


if __name__ == "__main__":
    main()
