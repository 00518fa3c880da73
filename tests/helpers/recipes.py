"""Small recipes, as text."""

from pathlib import Path

SMALL = "corpus: {kind: synthetic}\n"
"""The shortest recipe that loads."""


def synthetic_corpus(
    *,
    n_speakers: int = 4,
    n_background: int = 12,
    n_background_utterances: int = 2,
    n_enrol: int = 2,
    n_test: int = 2,
    seconds: float = 2.0,
) -> str:
    """Return the line of a recipe that asks for a few short recordings of synthetic talkers; ends without a newline."""
    background = f"n_background: {n_background}, n_background_utterances: {n_background_utterances}"
    speakers = f"n_speakers: {n_speakers}, n_enrol: {n_enrol}, n_test: {n_test}"
    return f"corpus: {{kind: synthetic, {speakers}, {background}, seconds: {seconds}}}"


def write_recipe(folder: Path, text: str, name: str = "r.yaml") -> Path:
    """Write a recipe into a folder, which is created."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
