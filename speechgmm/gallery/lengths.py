"""Usual lengths of windows, turns and pauses, in seconds; the command line shows them without loading numpy."""

from typing import Final

WINDOW: Final = 1.5
"""Usual length of a window."""

HOP: Final = 0.5
"""Usual length of a hop, from one window to the next."""

TURN: Final = 3.0
"""Usual mean length of a turn."""

PAUSE: Final = 0.5
"""Usual length of the longest pause within a segment."""

LAG: Final = 0.5
"""Usual time by which smoothing waits for later windows."""


def usual_hop(window: float) -> float:
    """Return the usual length of a hop, or the window's if that is less."""
    return min(HOP, window)
