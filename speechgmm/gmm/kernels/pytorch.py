"""The kernels on PyTorch's tensors, on the processor or on a card: arrays in, arrays out.

They compute what `dense` does, by the same two products about the same centre, in other blocks, so that the last bits
differ. A card gets more frames at a time, but no sum in single precision is over more than `dense.BLOCK_FRAMES` of
them, and totals are in double. Single precision is IEEE 754's: no TF32. Every operation here adds in one order, so that
the same device gives the same bits each time. Frames travel block by block, and nothing waits for the device before the
last block; only then is it known whether they are finite: a frame that is not turns the sums it enters into NaN.
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
"""Values of a frame and a component, and of a model in scoring, that are in memory together. A few arrays have this
size: a card needs a gigabyte or two, and would idle between smaller ones."""


class _DeviceModel(NamedTuple):
    """`dense.Coefficients` on a device: centre and inverse scale (1, D) in double, product (2D + 1, C)."""

    centre: Any
    inverse: Any
    product: Any


def check_device(kernel: TorchKernel) -> None:
    """Refuse the kernel of a card where PyTorch finds none."""
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
    """Do an exact E step over frames (T, D), in memory, mapped or on the device, each as often as it counts (T,).

    `moments` are sums of posterior times [z, 1, z^2], shape (C, 2D + 1), added to in place. Return the log-likelihood:
    NaN if a frame is not finite. Raises ModelError if the device has no room.
    """
    n_rows = _rows_at_once(kernel, max(model.product.shape))
    with _open_device(kernel) as device:
        on_device = _to_device(model, device)
        total = torch.zeros(moments.shape, dtype=torch.float64, device=device)
        log_likelihood = torch.zeros((), dtype=torch.float64, device=device)
        for start, block in _blocks(frames, n_rows, device):
            block_counts = torch.from_numpy(counts[start : start + n_rows].copy()).to(device)
            expanded, usable = _expand(block, on_device)
            # Whole pieces, each with its own sum in single precision: the padding of the last counts 0 times.
            n_missing = -len(block) % BLOCK_FRAMES
            expanded = torch.nn.functional.pad(expanded, (0, 0, 0, n_missing))
            joint = expanded @ on_device.product
            highest = joint.amax(1)[: len(block)]
            gamma = torch.softmax(joint, 1)
            # The likeliest component's posterior is its density over the sum of all.
            likelihoods = highest.double() - gamma.amax(1)[: len(block)].double().log()
            log_likelihood += (torch.where(usable, likelihoods, torch.nan) * block_counts).sum()
            expanded *= torch.nn.functional.pad(block_counts, (0, n_missing)).to(expanded.dtype)[:, None]
            pieces = gamma.view(-1, BLOCK_FRAMES, len(moments)).transpose(1, 2)
            total += torch.bmm(pieces, expanded.view(len(pieces), BLOCK_FRAMES, -1)).sum(0, dtype=torch.float64)
        moments += total.cpu().numpy()
        return float(log_likelihood)


def log_likelihoods(frames: FloatArray, model: Coefficients, kernel: TorchKernel) -> Float64Array:
    """Compute the log-density of each frame, shape (T,), in nats: NaN where a frame is not finite.

    Raises ModelError if the device has no room.
    """
    result = np.empty(len(frames))
    n_rows = _rows_at_once(kernel, max(model.product.shape))
    with _open_device(kernel) as device:
        on_device = _to_device(model, device)
        for start, block in _blocks(frames, n_rows, device):
            expanded, usable = _expand(block, on_device)
            values = torch.where(usable, torch.logsumexp(expanded @ on_device.product, 1), torch.nan)
            result[start : start + n_rows] = values.cpu().numpy()
    return result


def ratio_sums(
    ubm: Coefficients, models: Differences, n_top: int, kernel: TorchKernel
) -> Callable[[FloatArray], Float64Array]:
    """Copy models to a device, and return a function that sums their log-likelihood ratios over an utterance's frames.

    Both likelihoods are over the `n_top` components of the UBM that are best for each frame. The function returns sums
    of ``log p(x_t | model) - log p(x_t | ubm)``, shape (M,), in nats: NaN if a frame is not finite. Both raise
    ModelError if the device has no room.
    """
    n_models = models.product.shape[2]
    n_rows = _rows_at_once(kernel, max(n_top * min(n_models, MODELS_AT_ONCE), *ubm.product.shape))
    width = max(1, VALUES_AT_ONCE[kernel] // (n_top * n_rows))
    with _open_device(kernel) as device:
        on_device, product = _to_device(ubm, device), torch.from_numpy(models.product).to(device)

    def sums(frames: FloatArray) -> Float64Array:
        """Add up the ratios of an utterance's frames."""
        with _open_device(kernel) as device:
            total = torch.zeros(n_models, dtype=torch.float64, device=device)
            for _, block in _blocks(frames, n_rows, device):
                expanded, usable = _expand(block, on_device)
                best, log_gamma = _best_components(expanded @ on_device.product, n_top)
                inputs = expanded[:, : product.shape[1]].contiguous()
                for first in range(0, n_models, width):
                    part = product[:, :, first : first + width]
                    log_ratios = torch.matmul(inputs, part) if best is None else _best_products(inputs, part, best)
                    log_ratios += log_gamma.T[:, :, None]
                    ratios = torch.logsumexp(log_ratios, 0)
                    total[first : first + width] += ratios.sum(0, dtype=torch.float64)
                total += torch.where(usable.all(), 0.0, torch.nan)
            result: Float64Array = total.cpu().numpy()
            return result

    return sums


@contextmanager
def _open_device(kernel: TorchKernel) -> Iterator[Any]:
    """Yield the device, with one thread and full single precision; raise ModelError if it runs out of memory."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)  # more would add in another order
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield torch.device(DEVICES[kernel])
    except RuntimeError as error:  # torch has a class for a card out of memory, and none for the processor
        if "memory" not in str(error):
            raise
        raise ModelError(f"kernel {kernel}: the device has no room left: {str(error).splitlines()[0]}") from error
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


def _to_device(model: Coefficients, device: Any) -> _DeviceModel:
    """Copy a model to a device."""
    centre, scale = model.reference
    rows = [torch.tensor(values, device=device)[None] for values in (centre, 1 / scale)]
    return _DeviceModel(rows[0], rows[1], torch.tensor(model.product, device=device))


def _rows_at_once(kernel: TorchKernel, n_values: int) -> int:
    """Return how many frames of `n_values` values fit together: whole blocks, where one fits."""
    n_rows = VALUES_AT_ONCE[kernel] // n_values
    return max(1, n_rows // BLOCK_FRAMES * BLOCK_FRAMES or n_rows)


def _blocks(frames: FloatArray | torch.Tensor, n_rows: int, device: Any) -> Iterator[tuple[int, Any]]:
    """Copy frames to a device, `n_rows` at a time, in their own precision."""
    for start in range(0, len(frames), n_rows):
        block = frames[start : start + n_rows]
        if isinstance(block, torch.Tensor):
            yield start, block.to(device)
            continue
        dtype = block.dtype if block.dtype in (np.float32, np.float64) else np.float64
        yield start, torch.from_numpy(np.array(block, dtype, order="C")).to(device)


def _expand(block: Any, model: _DeviceModel) -> tuple[Any, Any]:
    """Compute [z, 1, z^2] of a block, and which of its frames are finite; NaN is replaced by the centre."""
    wide = torch.promote_types(block.dtype, model.product.dtype)
    z = (block.to(wide) - model.centre.to(wide)) * model.inverse.to(wide)
    z = z.clamp(-MAX_SCALED_VALUE, MAX_SCALED_VALUE).nan_to_num(0.0).to(model.product.dtype)
    return torch.cat([z, torch.ones_like(z[:, :1]), z.square()], 1), torch.isfinite(block).all(1)


def _best_components(joint: Any, n_top: int) -> tuple[Any, Any]:
    """Find the best components of each frame (B, n_top), None for all, and the logs of their posteriors.

    Where several tie for the last place, it is the first of them.
    """
    if n_top == joint.shape[1]:
        return None, torch.log_softmax(joint, 1)
    last = joint.topk(n_top, dim=1).values[:, -1:]
    is_best, ties = joint > last, joint == last
    is_best |= ties & (ties.cumsum(1) <= n_top - is_best.sum(1, keepdim=True))
    best = is_best.nonzero()[:, 1].view(-1, n_top)
    return best, torch.log_softmax(joint.gather(1, best), 1)


def _best_products(inputs: Any, product: Any, best: Any) -> Any:
    """Multiply each frame with all models in its best components, shape (n_top, B, M)."""
    flat = best.T.reshape(-1)
    component, order = flat.sort(stable=True)
    bounds = torch.searchsorted(component, torch.arange(len(product) + 1, device=flat.device)).tolist()
    rows = inputs[order % len(inputs)]
    by_component = torch.empty(len(rows), product.shape[2], dtype=inputs.dtype, device=inputs.device)
    for number, (begin, end) in enumerate(pairwise(bounds)):
        if begin < end:
            torch.mm(rows[begin:end], product[number], out=by_component[begin:end])
    by_frame = torch.empty_like(by_component)
    by_frame[order] = by_component
    return by_frame.view(*best.T.shape, -1)
