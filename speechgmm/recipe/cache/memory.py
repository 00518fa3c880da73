"""The peak of resident memory of this process and of its workers, on systems that report it."""

from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")


def forget_peak() -> None:
    """Reset the peak of this process and its children to what is resident now, on systems that allow it."""
    for process in _processes():
        with suppress(OSError):  # not ours to reset, or gone
            (process / "clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Return the largest peak of resident memory since `forget_peak`, in bytes, of this process or any of its children.

    None on systems that do not report it.
    """
    peaks = [peak for process in _processes() if (peak := _field(process, "VmHWM:")) is not None]
    return max(peaks) * 1024 if peaks else None


def _processes() -> list[Path]:
    """List this process and its children."""
    this = PROCESSES / "self"
    children: list[str] = []
    for children_of_thread in this.glob("task/*/children"):
        with suppress(OSError):  # the thread has ended
            children += children_of_thread.read_text().split()
    return [this, *(PROCESSES / child for child in children)]


def _field(process: Path, name: str) -> int | None:
    """Read a number from the status of a process; None if it is not there."""
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
