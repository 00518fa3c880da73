"""Progress bars of stages on the terminal."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from speechgmm.recipe.stages.scores import ProgressCallback


class Bars:
    """Progress bars, one for each stage that runs; none when the console is not a terminal."""

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

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tick(self, title: str) -> ProgressCallback:
        """Make the function that moves one bar.

        Parameters
        ----------
        title : str
            What stands beside it.

        Returns
        -------
        callable
            The bar appears at its first call.
        """
        tasks: list[TaskID] = []

        def tick(done: int, total: int) -> None:
            """Move the bar."""
            if not tasks:
                tasks.append(self._progress.add_task(title, total=total))
            self._progress.update(tasks[0], completed=done)

        return tick
