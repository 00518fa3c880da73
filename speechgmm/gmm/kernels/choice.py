"""The E-step kernels by name. Those that need an optional package are imported when they are first used."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Literal, Protocol, TypeGuard, get_args

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.dense import Coefficients, Kernel, TorchKernel


class Blocks(Protocol):
    """Frames for an E step. Iteration yields blocks (B, D) of finite frames and how often each frame counts (B,)."""

    @property
    def frames(self) -> FloatArray:
        """All frames, shape (T, D), unchecked, for kernels that have blocks of their own."""
        ...

    @property
    def counts(self) -> Float64Array:
        """How often each frame counts, shape (T,)."""
        ...

    @property
    def skip_below(self) -> float:
        """Share of the likeliest component's density below which a component is left out of a frame."""
        ...

    def __iter__(self) -> Iterator[tuple[FloatArray, Float64Array]]: ...


EStep = Callable[[Blocks, Coefficients, Float64Array], tuple[float, float]]
"""Adds sums of posterior times [z, 1, z^2] to the moments, shape (C, 2D + 1), in place. Returns the log-likelihood of
the frames in nats, NaN if the kernel came upon a frame that is not finite, and an upper bound on the sum of the
posteriors left out, in frames."""


def _compiled(blocks: Blocks, coefficients: Coefficients, moments: Float64Array) -> tuple[float, float]:
    """Do an exact E step with numba's kernel."""
    sums: tuple[float, float] = compiled_kernel().add_blocks(blocks, coefficients, moments)
    return sums


def _skipping(blocks: Blocks, coefficients: Coefficients, moments: Float64Array) -> tuple[float, float]:
    """Do an E step that leaves out components below the threshold of the blocks, with numba's kernel."""
    sums: tuple[float, float] = skipping_kernel().add_blocks(blocks, blocks.skip_below, coefficients, moments)
    return sums


def _pytorch(
    kernel: TorchKernel, blocks: Blocks, coefficients: Coefficients, moments: Float64Array
) -> tuple[float, float]:
    """Do an exact E step with PyTorch's kernel, which has larger blocks of its own."""
    return torch_kernels(kernel).add_frames(blocks.frames, blocks.counts, coefficients, moments, kernel), 0.0


E_STEPS: dict[Kernel | Literal["skipping"], EStep] = {
    "numpy": dense.add_blocks,
    "numba": _compiled,
    "skipping": _skipping,
    "torch": partial(_pytorch, "torch"),
    "cuda": partial(_pytorch, "cuda"),
}
"""Every E-step kernel: the exact ones by the name that users give, and the one that skips."""


def choose_e_step(kernel: Kernel, skip_below: float = 0.0) -> EStep:
    """Return the kernel of this name, or the one that skips if there is a threshold, after `check_kernel`."""
    check_kernel(kernel, skip_below)
    return E_STEPS["skipping" if skip_below else kernel]


def check_kernel(kernel: Kernel, skip_below: float = 0.0) -> None:
    """Refuse an unknown kernel, and PyTorch's together with a threshold, because only numba's kernel skips."""
    if kernel not in get_args(Kernel):
        raise ModelError(f"kernel {kernel!r}: expected one of {', '.join(get_args(Kernel))}")
    if skip_below and is_torch(kernel):
        raise ModelError(f"skip_below {skip_below} with kernel {kernel}: expected 0, as only numba's kernel skips")


def check_available(kernel: Kernel, skip_below: float = 0.0) -> None:
    """Refuse a kernel whose package or device is missing, before any work is done that would be lost."""
    if is_torch(kernel):
        torch_kernels(kernel)
    elif skip_below:
        skipping_kernel()
    elif kernel == "numba":
        compiled_kernel()


def is_torch(kernel: Kernel) -> TypeGuard[TorchKernel]:
    """Check whether a kernel is one of PyTorch's."""
    return kernel in get_args(TorchKernel)


def compiled_kernel() -> ModuleType:
    """Import numba's exact kernel, or raise ModelError where numba is missing."""
    with _naming_extra("kernel numba", "numba", "fast"):
        from speechgmm.gmm.kernels import compiled
    return compiled


def skipping_kernel() -> ModuleType:
    """Import numba's kernel that skips, or raise ModelError where numba is missing."""
    with _naming_extra("skip_below", "numba", "fast"):
        from speechgmm.gmm.kernels import skipping
    return skipping


def torch_kernels(kernel: TorchKernel) -> ModuleType:
    """Import PyTorch's kernels, or raise ModelError where PyTorch or the device of this kernel is missing."""
    with _naming_extra(f"kernel {kernel}", "torch", "torch"):
        from speechgmm.gmm.kernels import pytorch
    pytorch.check_device(kernel)
    return pytorch


@contextmanager
def _naming_extra(feature: str, package: str, extra: str) -> Iterator[None]:
    """Raise an error that names the extra to install where the block cannot import a package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModelError(f"{feature} needs the package {package}: pip install 'speechgmm[{extra}]'") from error
