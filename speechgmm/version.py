"""The version of the package, and those of all that its numbers rest on."""

__version__ = "0.1.0"

PACKAGES = ("numpy", "scipy", "soundfile", "soxr", "pydantic", "joblib", "safetensors", "scikit-learn")
"""Whose versions may change a number."""


def versions() -> dict[str, str]:
    """Give the versions of all that may change a number.

    Returns
    -------
    dict of str to str
        Of speechgmm, Python, the packages that compute, and the BLAS that numpy and scipy run on.
    """
    import platform
    from importlib import metadata

    import scipy.linalg  # noqa: F401 - so that its BLAS is there to be found
    from threadpoolctl import threadpool_info

    blas = {f"{pool['internal_api']} {pool['version']}" for pool in threadpool_info() if pool["user_api"] == "blas"}
    return {
        "speechgmm": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "blas": ", ".join(sorted(blas)),
    }
