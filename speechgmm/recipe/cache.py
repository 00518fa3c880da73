"""Outputs of stages on disk, each under the digest of what it depends on."""

import json
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from threadpoolctl import threadpool_info

from speechgmm.configuration import fingerprint
from speechgmm.files import UMASK
from speechgmm.version import __version__

logger = logging.getLogger(__name__)

PACKAGES = ("numpy", "scipy", "soundfile", "soxr", "pydantic", "joblib", "safetensors", "scikit-learn")
"""Whose versions may change a number."""

STAGE_FILE = "stage.json"
"""What a stage's folder says of itself: its inputs, what made it, and the sizes of its files."""

RUNNING = ".running-"
"""What the folder of an unfinished stage is called, before machine and process."""

UNFINISHED = ".unfinished-"
"""What the folder is called that an unfinished stage may go on from, before its digest."""


def versions() -> dict[str, str]:
    """Give the versions of all that may change a number.

    Returns
    -------
    dict of str to str
        Of speechgmm, Python, the packages that compute, and the BLAS that numpy and scipy run on.
    """
    blas = {f"{pool['internal_api']} {pool['version']}" for pool in threadpool_info() if pool["user_api"] == "blas"}
    return {
        "speechgmm": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "blas": ", ".join(sorted(blas)),
    }


@dataclass(frozen=True)
class StageOutput:
    """What a stage left behind.

    Parameters
    ----------
    title : str
        The stage, as people call it.
    folder : Path
        Where its files are.
    digest : str
        Of all that they depend on.
    reused : bool
        Whether they were there already.
    seconds : float
        How long it took to make them, or to find them.
    made_by : dict of str to str
        Versions of what made them, which may be older than those in use.
    """

    title: str
    folder: Path
    digest: str
    reused: bool
    seconds: float
    made_by: dict[str, str]


@dataclass(frozen=True)
class StageCache:
    """A folder of outputs of stages. A stage's folder is complete, or does not exist; a damaged one is made again.

    Parameters
    ----------
    root : Path
        The folder; made when something is put into it.
    """

    root: Path

    def obtain(
        self,
        name: str,
        version: int,
        inputs: dict[str, JsonValue],
        run: Callable[[Path], None],
        *,
        title: str | None = None,
    ) -> StageOutput:
        """Give the output of a stage, running it if it is not there.

        Parameters
        ----------
        name : str
            The stage.
        version : int
            Of the stage's code and files: another number makes another output.
        inputs : dict of JSON data
            All that the output depends on.
        run : callable
            Writes the output into the folder it is given. That folder becomes the stage's in one step when it
            returns; if it raises or the process dies, the stage has not run.
        title : str, optional
            What people call it, where several outputs are of one stage.

        Returns
        -------
        StageOutput
            Where the output is, and whether it was there already.
        """
        started = time.perf_counter()
        digest, folder = self._place(name, version, inputs)
        title = title or name
        made = _read_whole(folder)
        reused = made is not None
        if made is None:
            if folder.is_dir():
                logger.warning("%s: %s is damaged; it is made again", title, folder)
                shutil.rmtree(folder)
            made = self._run(name, inputs, run, folder)
        seconds = time.perf_counter() - started
        logger.info("%s: %s in %.1f s (%s)", title, "reused" if reused else "done", seconds, digest[:12])
        return StageOutput(title, folder, digest, reused, seconds, made["made_by"])

    def unfinished(self, name: str, version: int, inputs: dict[str, JsonValue]) -> Path:
        """Say where a stage may keep what it goes on from when it was stopped.

        Parameters
        ----------
        name, version, inputs
            As for `obtain`, which removes the folder when the stage is complete.

        Returns
        -------
        Path
            A folder, which the stage makes when it needs it.
        """
        _, folder = self._place(name, version, inputs)
        return folder.with_name(UNFINISHED + folder.name)

    def _place(self, name: str, version: int, inputs: dict[str, JsonValue]) -> tuple[str, Path]:
        """Give the digest of a stage, and its folder."""
        digest = fingerprint({"stage": name, "version": version, "inputs": inputs})
        return digest, self.root / name / digest[:32]

    def _run(
        self, name: str, inputs: dict[str, JsonValue], run: Callable[[Path], None], folder: Path
    ) -> dict[str, Any]:
        """Run a stage beside its place, then move its folder there; give what it says of itself."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f"{RUNNING}{platform.node()}-{os.getpid()}-", dir=folder.parent))
        try:
            run(temporary)
            made = {"stage": name, "inputs": inputs, "made_by": versions(), "sizes": _sizes(temporary)}
            (temporary / STAGE_FILE).write_text(json.dumps(made), encoding="utf-8")
            temporary.chmod(0o777 & ~UMASK)
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():  # unless another run was there first, with the same output
                    raise
            shutil.rmtree(folder.with_name(UNFINISHED + folder.name), ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return made

    def _sweep(self, folder: Path) -> None:
        """Remove what runs on this machine left behind when they were killed."""
        prefix = f"{RUNNING}{platform.node()}-"
        for left in folder.glob(f"{prefix}*"):
            pid = left.name.removeprefix(prefix).partition("-")[0]
            if pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)


def _sizes(folder: Path) -> dict[str, int]:
    """Give the size of each file of a stage, but for what it says of itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    sizes.pop(STAGE_FILE, None)
    return sizes


def _read_whole(folder: Path) -> dict[str, Any] | None:
    """Read what a stage says of itself; None if it is not there, or its files have other sizes than it says."""
    try:
        made: dict[str, Any] = json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))
        return made if made["sizes"] == _sizes(folder) and "made_by" in made else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    """Tell whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's
    return True
