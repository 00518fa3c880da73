"""What a user may give by mistake in place of a folder of recordings, and what to do with it instead."""

from pathlib import Path

from speechgmm.errors import CorpusError
from speechgmm.files import RECIPE_SUFFIXES, is_audio
from speechgmm.gallery.layout import CONFIG_FILE
from speechgmm.recipe.layout import METRICS_FILE, RECIPE_FILE

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
OTHER_TABLES = (".xlsx", ".xls", ".ods", ".parquet", ".json", ".jsonl", ".feather", ".pkl", ".arrow")

LISTS_OF_KALDI = ("wav.scp", "feats.scp", "segments", "utt2spk", "spk2utt")

EXPECTED = "expected a folder of recordings, or a table (.csv, .tsv) of them"


def check_place(place: Path) -> None:
    """Raise `CorpusError` if a path is not what holds recordings; the message says which command it is for."""
    suffix = place.suffix.lower()
    if place.is_dir():
        if (place / RECIPE_FILE).is_file() and (place / METRICS_FILE).is_file():
            raise CorpusError(
                f"{place}: a results folder; {EXPECTED}. To write its report: speechgmm report {place}; to run it "
                f"again: speechgmm run {place / RECIPE_FILE}"
            )
        if (place / CONFIG_FILE).is_file():
            raise CorpusError(f"{place}: a gallery; {EXPECTED}. To use it: speechgmm gallery identify {place} FILE")
    elif not place.exists():
        raise CorpusError(f"{place}: no such folder or table; {EXPECTED}")
    elif is_audio(place.name):
        raise CorpusError(
            f"{place}: one recording; {EXPECTED}, with a folder for each speaker. For the features of this one: "
            f"speechgmm features {place} --out {place.stem}.npy"
        )
    elif place.name in LISTS_OF_KALDI:
        raise CorpusError(f"{place}: a list of a Kaldi data directory; {EXPECTED}. Give its folder: {place.parent}")
    elif suffix in RECIPE_SUFFIXES:
        raise CorpusError(f"{place}: a YAML file; {EXPECTED}. If it is a recipe, run it: speechgmm run {place}")
    elif suffix in ARCHIVE_SUFFIXES:
        raise CorpusError(f"{place}: an archive; {EXPECTED}. Unpack it, and give the folder")
    elif suffix in OTHER_TABLES:
        raise CorpusError(f"{place}: a {suffix} file; {EXPECTED}. Save a table as .csv, with columns path and speaker")
