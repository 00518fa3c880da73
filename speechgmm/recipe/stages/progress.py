"""Progress bars of stages on the terminal."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

ProgressCallback = Callable[[int, int], None]
"""Takes how many items are done, and how many there are."""


class ProgressBars:
    """A bar for each stage that runs; no bars where the console is not a terminal."""

    def __init__(self, console: Console | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=console is None or not console.is_terminal,
        )

    def __enter__(self) -> "ProgressBars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def callback(self, title: str) -> ProgressCallback:
        """Return the function that moves the bar of this title; the bar appears at its first call."""
        tasks: list[TaskID] = []

        def progress(done: int, total: int) -> None:
            """Move the bar."""
            if not tasks:
                tasks.append(self._progress.add_task(title, total=total))
            self._progress.update(tasks[0], completed=done)

        return progress
