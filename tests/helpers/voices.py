"""The recordings in the folder of the fixture `voices`."""

from pathlib import Path


def enrolment(voices: Path, speaker: str) -> list[Path]:
    """List the recordings that enrol a speaker."""
    return sorted((voices / speaker).glob("*-enrol-*.flac"))


def spoken(voices: Path, speaker: str) -> list[Path]:
    """List the recordings that test a speaker."""
    return sorted((voices / speaker).glob("*-test-*.flac"))
