"""The version of the package, and those of all that its numbers rest on."""

from contextlib import suppress
from functools import lru_cache

__version__ = "0.1.0"

PACKAGES = ("numpy", "scipy", "soundfile", "soxr", "pydantic", "joblib", "safetensors", "scikit-learn")
"""Whose versions may change a number."""

EXTRAS = ("numba", "torch", "kaldiio", "h5py")
"""The same, of those that not everybody has."""


def versions() -> dict[str, str]:
    """Give the versions of all that may change a number.

    Returns
    -------
    dict of str to str
        Of speechgmm, Python, the packages that read and compute, as far as they are installed, and the BLAS that numpy
        and scipy run on.
    """
    return dict(_versions())


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    """Look them up once: every stage is told of them."""
    import platform
    from importlib import metadata

    import scipy.linalg  # noqa: F401 - so that its BLAS is there to be found
    from threadpoolctl import threadpool_info

    blas = {f"{pool['internal_api']} {pool['version']}" for pool in threadpool_info() if pool["user_api"] == "blas"}
    extras = {}
    for name in EXTRAS:
        with suppress(metadata.PackageNotFoundError):
            extras[name] = metadata.version(name)
    return {
        "speechgmm": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        **extras,
        "blas": ", ".join(sorted(blas)),
    }
