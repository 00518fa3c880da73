"""The command that writes the recordings of the synthetic talkers."""

from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli.common import JobsOption, exit_on_error


def synthesise(
    out: Annotated[Path, typer.Option(help="Folder to write the recordings to.", show_default=False)],
    n_speakers: Annotated[int, typer.Option(min=2, help="Number of enrolled speakers.")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed; another seed gives other speakers.")] = 0,
    jobs: JobsOption = None,
) -> None:
    """Write the recordings of the synthetic talkers as FLAC files, with Kaldi lists and trials."""
    from rich.console import Console
    from rich.progress import track

    from speechgmm.corpus.synthetic.recordings import write_recordings
    from speechgmm.corpus.synthetic.synthesis import SyntheticConfig, plan
    from speechgmm.parallel.engine import Engine, available_cores

    config = SyntheticConfig(n_speakers=n_speakers, seed=seed)
    total = len(plan(config))
    console = Console(stderr=True)
    recordings = write_recordings(config, out, Engine("processes", jobs or available_cores()))
    shown = track(recordings, "recording", total, console=console, transient=True, disable=not console.is_terminal)
    with exit_on_error():
        for _ in shown:
            pass
    typer.echo(f"{total} recordings in {out}")
