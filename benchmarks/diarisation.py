"""Diarisation error rates on made meetings, by models of other speakers than theirs.

Usage: python benchmarks/diarisation.py DATA --work FOLDER [--meetings 20] [--seeds 0 1 2]

DATA holds the corpora libri and so762. Models are trained on one half of their speakers, and find who speaks when in
meetings of the other half, and the reverse; without and with the number of speakers. The answers are RTTM files in
FOLDER. What is in FOLDER already is used again.
"""

import argparse
from pathlib import Path

import numpy as np
from meetings import CORPORA, half_of, make_meetings, print_table, read_meetings, recordings, score_folder, write_rttm

from speechgmm import (
    DiarisationModels,
    FeatureConfig,
    IVectorConfig,
    TrainingConfig,
    accumulate,
    diarise,
    extract,
    fit_backend,
    ivectors,
    load_gmm,
    load_total_variability,
    save_gmm,
    save_total_variability,
    train,
    train_total_variability,
)
from speechgmm.subspace.backend.storage import load_backend, save_backend

N_COMPONENTS, RANK, PIECE_FRAMES = 256, 100, 300
BACKEND = ("center", "length", {"plda": {"smoothing": 0.2}})
N_SHARDS = 8


def models_of(data: Path, half: int, folder: Path) -> DiarisationModels:
    """Train models on one half of the speakers, whose recordings are cut in pieces of 3 s; or read them."""
    front_end = FeatureConfig()
    ubm_file, factors_file, backend_file = (folder / f"{name}.safetensors" for name in ("ubm", "subspace", "backend"))
    if not backend_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        frames, speakers = [], []
        for corpus in CORPORA:
            files = recordings(data, corpus)
            for speaker in half_of(files, half):
                frames += [extract(path, front_end) for path in files[speaker]]
                speakers += [speaker] * len(files[speaker])
        shards = [np.concatenate(frames[first::N_SHARDS]) for first in range(N_SHARDS)]
        ubm = train(shards, TrainingConfig(n_components=N_COMPONENTS, n_iterations=8)).gmm
        statistics, whose = [], []
        for recording, speaker in zip(frames, speakers, strict=True):
            for piece in np.array_split(recording, max(1, round(len(recording) / PIECE_FRAMES))):
                statistics.append(accumulate(ubm, piece))
                whose.append(speaker)
        factors = train_total_variability(ubm, statistics, IVectorConfig(rank=RANK, n_iterations=6)).model
        save_gmm(ubm_file, ubm)
        save_total_variability(factors_file, factors)
        save_backend(backend_file, fit_backend(BACKEND, ivectors(factors, statistics), whose))
    return DiarisationModels(
        front_end, load_gmm(ubm_file), load_total_variability(factors_file), load_backend(backend_file)
    )


def answer(folder: Path, answers: Path, models: DiarisationModels, *, known_number: bool) -> None:
    """Write who speaks when in the meetings of a folder, where it is not written yet."""
    for meeting in read_meetings(folder):
        path = answers / f"{meeting.name}.rttm"
        if not path.exists():
            n_speakers = len(meeting.speakers) if known_number else None
            found = diarise(folder / f"{meeting.name}.wav", models, n_speakers=n_speakers)
            write_rttm(path, meeting.name, found.segments)


def main() -> None:
    """Make meetings and models, and print a table for each way of answering."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--meetings", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    chosen = parser.parse_args()
    scored: dict[str, dict] = {"auto": {}, "number known": {}}
    for half in (0, 1):
        models = models_of(chosen.data, 1 - half, chosen.work / f"models-{1 - half}")
        for seed in chosen.seeds:
            folder = chosen.work / f"meetings-{seed}-{half}"
            if not (folder / "meetings.json").exists():
                folder.mkdir(parents=True, exist_ok=True)
                make_meetings(chosen.data, folder, chosen.meetings, seed, half)
            for way, table in scored.items():
                answers = folder / way.replace(" ", "-")
                answer(folder, answers, models, known_number=way != "auto")
                table |= {f"{name}-{half}": errors for name, errors in score_folder(folder, answers).items()}
    for way, table in scored.items():
        print(f"\n{way}: collar 0.25 s")
        print_table(table)


if __name__ == "__main__":
    main()
