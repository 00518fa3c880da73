"""Who computes: the kernels by name. Those that an extra brings are imported when somebody asks for them."""

from types import ModuleType
from typing import TypeGuard, get_args

from speechgmm.errors import ModelError
from speechgmm.gmm.kernels.dense import Kernel, TorchKernel


def check_kernel(kernel: Kernel, skip_below: float = 0.0) -> None:
    """Refuse a kernel that is none, and one that is to skip and cannot.

    Parameters
    ----------
    kernel : str
        What somebody gave.
    skip_below : float
        The threshold of `speechgmm.gmm.statistics.accumulate`.

    Raises
    ------
    ModelError
        If it is no `Kernel`, or is torch's while something is to be skipped.
    """
    if kernel not in get_args(Kernel):
        raise ModelError(f"kernel {kernel!r}: expected one of {', '.join(get_args(Kernel))}")
    if skip_below and is_torch(kernel):
        raise ModelError(f"skip_below {skip_below} with kernel {kernel}: expected 0, as only numba's kernel skips")


def is_torch(kernel: Kernel) -> TypeGuard[TorchKernel]:
    """Tell whether a kernel is one of PyTorch's.

    Parameters
    ----------
    kernel : Kernel
        Any.

    Returns
    -------
    bool
        Whether it is.
    """
    return kernel in get_args(TorchKernel)


def numba_kernels(wanted_by: str) -> tuple[ModuleType, ModuleType]:
    """Import the compiled kernels, which only those who ask for them need.

    Parameters
    ----------
    wanted_by : str
        Who asks, for the message.

    Returns
    -------
    tuple of module
        `speechgmm.gmm.kernels.compiled`, which is exact, and `speechgmm.gmm.kernels.skipping`.

    Raises
    ------
    ModelError
        If numba is not there.
    """
    try:
        from speechgmm.gmm.kernels import compiled, skipping
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
        raise ModelError(f"{wanted_by} needs the package numba: pip install 'speechgmm[fast]'") from error
    return compiled, skipping


def check_available(kernel: Kernel, skip_below: float = 0.0) -> None:
    """Refuse a kernel whose package or device is not there, before any work is done that would be lost.

    Parameters
    ----------
    kernel : Kernel
        Which.
    skip_below : float
        The threshold of `speechgmm.gmm.statistics.accumulate`.

    Raises
    ------
    ModelError
        If it is not there.
    """
    if is_torch(kernel):
        torch_kernels(kernel)
    elif skip_below or kernel == "numba":
        numba_kernels("skip_below" if skip_below else "kernel numba")


def torch_kernels(kernel: TorchKernel) -> ModuleType:
    """Import PyTorch's kernels, and see that their device is there.

    Parameters
    ----------
    kernel : "torch" or "cuda"
        Which.

    Returns
    -------
    module
        `speechgmm.gmm.kernels.pytorch`.

    Raises
    ------
    ModelError
        If PyTorch or the device is not there.
    """
    try:
        from speechgmm.gmm.kernels import pytorch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModelError(f"kernel {kernel} needs the package torch: pip install 'speechgmm[torch]'") from error
    pytorch.check_device(kernel)
    return pytorch
