"""The kernels on PyTorch's tensors, on the processor or on a card: arrays in, arrays out.

They compute what `kernels` does, by the same two products about the same centre, in other blocks, so that the last bits
differ. A card gets more frames at a time, but no sum in single precision is over more than `kernels.BLOCK_FRAMES` of
them, and totals are in double. Single precision is IEEE 754's: no TF32. Every operation here adds in one order, so that
the same device gives the same bits each time. Frames travel block by block, and nothing waits for the device before the
last; only then are they known to be finite: a frame that is not makes NaN of what it was to be part of.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.kernels.dense import (
    BLOCK_FRAMES,
    MAX_SCALED_VALUE,
    MODELS_AT_ONCE,
    Coefficients,
    Differences,
    TorchKernel,
)

DEVICES = {"torch": "cpu", "cuda": "cuda"}
"""The device of each kernel."""

VALUES_AT_ONCE = {"torch": 1 << 22, "cuda": 1 << 26}
"""Values of a frame and a component, and of a model in scoring, that are in memory together. A few arrays are of this
size: a card needs a gigabyte or two, and would idle between smaller ones."""


class _Model(NamedTuple):
    """`kernels.Coefficients` on a device: centre and inverse scale (1, D) in double, product (2D + 1, C)."""

    centre: Any
    inverse: Any
    product: Any


def check_device(kernel: TorchKernel) -> None:
    """Refuse a kernel whose device is not there.

    Parameters
    ----------
    kernel : "torch" or "cuda"
        Which.

    Raises
    ------
    ModelError
        If it is a card, and PyTorch finds none.
    """
    if kernel == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ", and this build of torch is for none"
        raise ModelError(f"kernel cuda: torch {torch.__version__} finds no CUDA device here{built}; expected one")


def add_frames(
    frames: FloatArray | torch.Tensor,
    counts: Float64Array,
    model: Coefficients,
    moments: Float64Array,
    kernel: TorchKernel,
) -> float:
    """Add the moments of frames.

    Parameters
    ----------
    frames : np.ndarray or torch.Tensor, shape (T, D)
        Frames, in memory, mapped, or on the device already.
    counts : np.ndarray, shape (T,), float64
        How often each counts.
    model : Coefficients
        The model, whose precision is that of the products.
    moments : np.ndarray, shape (C, 2D + 1), float64
        Sums of posterior times [z, 1, z^2]; added to, in place.
    kernel : "torch" or "cuda"
        Where.

    Returns
    -------
    float, nats
        Sum of log p(x_t) over the frames; NaN if a frame is not finite.

    Raises
    ------
    ModelError
        If the device has no room.
    """
    n_rows = _rows_at_once(kernel, max(model.product.shape))
    with _running(kernel) as device:
        there = _put(model, device)
        total = torch.zeros(moments.shape, dtype=torch.float64, device=device)
        log_likelihood = torch.zeros((), dtype=torch.float64, device=device)
        for start, block in _blocks(frames, n_rows, device):
            often = torch.from_numpy(counts[start : start + n_rows].copy()).to(device)
            expanded, usable = _expand(block, there)
            # Whole pieces, each summed in single precision for itself: what is added to the last has no counts.
            n_missing = -len(block) % BLOCK_FRAMES
            expanded = torch.nn.functional.pad(expanded, (0, 0, 0, n_missing))
            joint = expanded @ there.product
            highest = joint.amax(1)[: len(block)]
            gamma = torch.softmax(joint, 1)
            # The likeliest component's posterior is its density over the sum of all.
            likelihoods = highest.double() - gamma.amax(1)[: len(block)].double().log()
            log_likelihood += (torch.where(usable, likelihoods, torch.nan) * often).sum()
            expanded *= torch.nn.functional.pad(often, (0, n_missing)).to(expanded.dtype)[:, None]
            pieces = gamma.view(-1, BLOCK_FRAMES, len(moments)).transpose(1, 2)
            total += torch.bmm(pieces, expanded.view(len(pieces), BLOCK_FRAMES, -1)).sum(0, dtype=torch.float64)
        moments += total.cpu().numpy()
        return float(log_likelihood)


def log_likelihoods(frames: FloatArray, model: Coefficients, kernel: TorchKernel) -> Float64Array:
    """Compute the log-density of each frame.

    Parameters
    ----------
    frames, model, kernel
        As for `add_frames`.

    Returns
    -------
    np.ndarray, shape (T,), float64, nats
        ``log p(x_t)``; NaN where a frame is not finite.

    Raises
    ------
    ModelError
        If the device has no room.
    """
    result = np.empty(len(frames))
    n_rows = _rows_at_once(kernel, max(model.product.shape))
    with _running(kernel) as device:
        there = _put(model, device)
        for start, block in _blocks(frames, n_rows, device):
            expanded, usable = _expand(block, there)
            values = torch.where(usable, torch.logsumexp(expanded @ there.product, 1), torch.nan)
            result[start : start + n_rows] = values.cpu().numpy()
    return result


def ratio_sums(
    ubm: Coefficients, models: Differences, n_top: int, kernel: TorchKernel
) -> Callable[[FloatArray], Float64Array]:
    """Put models on a device, for the sums of the log-likelihood ratios of any frames there.

    Parameters
    ----------
    ubm : Coefficients
        The background model.
    models : Differences, of M models
        The models' differences from it.
    n_top : int, 1 to C
        Components of the UBM, the best for each frame, that both likelihoods are summed over.
    kernel : "torch" or "cuda"
        Where.

    Returns
    -------
    callable
        From frames (T, D) to the sums over them of ``log p(x_t | model) - log p(x_t | ubm)`` for each model, shape
        (M,), float64, nats: NaN if a frame is not finite. It raises ModelError if the device has no room, as this does.
    """
    n_models = models.product.shape[2]
    n_rows = _rows_at_once(kernel, max(n_top * min(n_models, MODELS_AT_ONCE), *ubm.product.shape))
    width = max(1, VALUES_AT_ONCE[kernel] // (n_top * n_rows))
    with _running(kernel) as device:
        there, product = _put(ubm, device), torch.from_numpy(models.product).to(device)

    def sums(frames: FloatArray) -> Float64Array:
        """Add up the ratios of frames."""
        with _running(kernel) as device:
            total = torch.zeros(n_models, dtype=torch.float64, device=device)
            for _, block in _blocks(frames, n_rows, device):
                expanded, usable = _expand(block, there)
                chosen, log_gamma = _best(expanded @ there.product, n_top)
                inputs = expanded[:, : product.shape[1]].contiguous()
                for first in range(0, n_models, width):
                    some = product[:, :, first : first + width]
                    moved = torch.matmul(inputs, some) if chosen is None else _chosen_products(inputs, some, chosen)
                    moved += log_gamma.T[:, :, None]
                    ratios = torch.logsumexp(moved, 0)
                    total[first : first + width] += ratios.sum(0, dtype=torch.float64)
                total += torch.where(usable.all(), 0.0, torch.nan)
            result: Float64Array = total.cpu().numpy()
            return result

    return sums


@contextmanager
def _running(kernel: TorchKernel) -> Iterator[Any]:
    """Give the device, with one thread and full single precision, and say in a line if it has no room."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)  # more would add in another order
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield torch.device(DEVICES[kernel])
    except RuntimeError as error:  # torch has a class for a card's want of memory, and none for the processor's
        if "memory" not in str(error):
            raise
        raise ModelError(f"kernel {kernel}: the device has no room left: {str(error).splitlines()[0]}") from error
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


def _put(model: Coefficients, device: Any) -> _Model:
    """Put a model on a device."""
    centre, scale = model.reference
    about = [torch.tensor(each, device=device)[None] for each in (centre, 1 / scale)]
    return _Model(about[0], about[1], torch.tensor(model.product, device=device))


def _rows_at_once(kernel: TorchKernel, n_values: int) -> int:
    """Give how many frames of so many values each go together: whole blocks, where there is room for one."""
    n_rows = VALUES_AT_ONCE[kernel] // n_values
    return max(1, n_rows // BLOCK_FRAMES * BLOCK_FRAMES or n_rows)


def _blocks(frames: FloatArray | torch.Tensor, n_rows: int, device: Any) -> Iterator[tuple[int, Any]]:
    """Bring frames to a device, so many at a time, in the precision that they have."""
    for start in range(0, len(frames), n_rows):
        block = frames[start : start + n_rows]
        if isinstance(block, torch.Tensor):
            yield start, block.to(device)
            continue
        dtype = block.dtype if block.dtype in (np.float32, np.float64) else np.float64
        yield start, torch.from_numpy(np.array(block, dtype, order="C")).to(device)


def _expand(block: Any, model: _Model) -> tuple[Any, Any]:
    """Make [z, 1, z^2] of a block, and tell which of its frames are finite; others are taken for the centre."""
    wide = torch.promote_types(block.dtype, model.product.dtype)
    z = (block.to(wide) - model.centre.to(wide)) * model.inverse.to(wide)
    z = z.clamp(-MAX_SCALED_VALUE, MAX_SCALED_VALUE).nan_to_num(0.0).to(model.product.dtype)
    return torch.cat([z, torch.ones_like(z[:, :1]), z.square()], 1), torch.isfinite(block).all(1)


def _best(joint: Any, n_top: int) -> tuple[Any, Any]:
    """Find the best components of each frame (B, n_top), the first of those that tie, and logs of their posteriors."""
    if n_top == joint.shape[1]:
        return None, torch.log_softmax(joint, 1)
    last = joint.topk(n_top, dim=1).values[:, -1:]
    best, ties = joint > last, joint == last
    best |= ties & (ties.cumsum(1) <= n_top - best.sum(1, keepdim=True))
    chosen = best.nonzero()[:, 1].view(-1, n_top)
    return chosen, torch.log_softmax(joint.gather(1, chosen), 1)


def _chosen_products(inputs: Any, product: Any, chosen: Any) -> Any:
    """Multiply each frame with all models in the components that it chose, shape (n_top, B, M)."""
    flat = chosen.T.reshape(-1)
    component, order = flat.sort(stable=True)
    bounds = torch.searchsorted(component, torch.arange(len(product) + 1, device=flat.device)).tolist()
    taken = inputs[order % len(inputs)]
    moved = torch.empty(len(taken), product.shape[2], dtype=inputs.dtype, device=inputs.device)
    for number, (begin, end) in enumerate(pairwise(bounds)):
        if begin < end:
            torch.mm(taken[begin:end], product[number], out=moved[begin:end])
    placed = torch.empty_like(moved)
    placed[order] = moved
    return placed.view(*chosen.T.shape, -1)
