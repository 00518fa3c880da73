"""The peak of resident memory of this process and of its workers, where the system tells it."""

from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")


def forget_peak() -> None:
    """Let the peak begin anew from what is resident now, in this process and its children, where that can be had."""
    for process in _processes():
        with suppress(OSError):  # not ours to reset, or gone
            (process / "clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Tell the largest peak of resident memory among this process and its children.

    Returns
    -------
    int or None, bytes
        Since `forget_peak`, of whichever held most at one time; None where the system does not tell it.
    """
    peaks = [peak for process in _processes() if (peak := _field(process, "VmHWM:")) is not None]
    return max(peaks) * 1024 if peaks else None


def _processes() -> list[Path]:
    """List this process and its children."""
    own = PROCESSES / "self"
    children: list[str] = []
    for of_thread in own.glob("task/*/children"):
        with suppress(OSError):  # the thread has ended
            children += of_thread.read_text().split()
    return [own, *(PROCESSES / child for child in children)]


def _field(process: Path, name: str) -> int | None:
    """Read a number of a process's status."""
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
