"""The version of the package, and the versions of the packages that its numbers depend on."""

from contextlib import suppress
from functools import lru_cache

__version__ = "0.1.0"

PACKAGES = ("numpy", "scipy", "soundfile", "soxr", "pydantic", "joblib", "safetensors", "scikit-learn")
"""Packages whose versions may change a number."""

EXTRAS = ("numba", "torch", "kaldiio", "h5py")
"""Optional packages whose versions may change a number."""


def versions() -> dict[str, str]:
    """Return the version of every package that may change a number, by its name.

    They are speechgmm, Python, the installed packages among `PACKAGES` and `EXTRAS`, and the BLAS of numpy and scipy.
    """
    return dict(_versions())


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    """Look the versions up once: every stage asks for them."""
    import platform
    from importlib import metadata

    import scipy.linalg  # noqa: F401 - loads the BLAS that is looked up below
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
