"""The E step of total variability beside its bare matrix products, the factorisations, and a loop over recordings."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.linalg import lapack
from side_by_side import seconds

from speechgmm.subspace.packed import pack, size
from speechgmm.subspace.statistics import StackedStats, StatsBlock, blocks_of
from speechgmm.subspace.total_variability.accumulators import FactorStats, accumulate_factors
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.training import BLOCK

SIZES = ((64, 72, 200, 520), (64, 72, 400, 520), (256, 60, 150, 520), (512, 60, 400, 256))
"""Components, features, factors and recordings: Kaldi took 1.58 s for the first, elsewhere."""

ALL, PRODUCTS, FACTORS = "products and factorisations", "  the four bare products", "  potrf, potrs and potri"
EXTRACTION, LOOP = "speechgmm, extraction only", "a loop with inv over recordings"
LITERAL_RECORDINGS = 8


def problem(n_components: int, n_features: int, rank: int, n_recordings: int) -> tuple[TotalVariability, StackedStats]:
    """Draw a model, and statistics of recordings of about 300 frames."""
    rng = np.random.default_rng(0)
    shape = (n_components, n_features)
    model = TotalVariability(np.zeros(shape), 0.1 * rng.standard_normal((*shape, rank)), np.ones(shape))
    zeroth = rng.gamma(0.5, 600 / n_components, (n_recordings, n_components))
    first = rng.standard_normal((n_recordings, *shape)) * np.sqrt(zeroth)[:, :, None]
    return model, StackedStats(zeroth, first, np.full(n_recordings, 300))


def e_step(model: TotalVariability, blocks: Sequence[StatsBlock]) -> FactorStats:
    """Run the E step with a new model, as an iteration has one, so that its products are computed, too."""
    model = TotalVariability(model.means, model.loadings, model.variances)
    first, *others = (accumulate_factors(model, 1.0, block) for block in blocks)
    return sum(others, first)


def bare_products(model: TotalVariability, stats: StackedStats) -> Callable[[], object]:
    """Compute the four products of all recordings only: N T'T, F T, N' E[yy'], F' E[y]."""
    first, zeroth = stats.first.reshape(len(stats), -1), stats.zeroth
    packed = np.ones((model.n_components, size(model.rank)))
    expectations, factors = np.ones((len(stats), packed.shape[1])), np.ones((len(stats), model.rank))
    moments, products = np.empty_like(packed), np.empty((model.means.size, model.rank))

    def products_only() -> None:
        """Compute into existing arrays."""
        np.matmul(zeroth, packed, out=expectations)
        np.matmul(first, model.scaled_loadings, out=factors)
        np.matmul(zeroth.T, expectations, out=moments)
        np.matmul(first.T, factors, out=products)

    return products_only


def factorisations(rank: int, n_recordings: int) -> Callable[[], object]:
    """Factorise, solve and invert only, in the packed form."""
    matrix = pack(np.eye(rank) + 0.1)
    row, right = np.empty_like(matrix), np.ones((rank, 1))

    def routines() -> None:
        """Call LAPACK for each recording."""
        for _ in range(n_recordings):
            row[:] = matrix
            lapack.dpftrf(rank, row, transr="N", uplo="L", overwrite_a=1)
            lapack.dpftrs(rank, row, right, transr="N", uplo="L")
            lapack.dpftri(rank, row, transr="N", uplo="L", overwrite_a=1)

    return routines


def loop_over_recordings(model: TotalVariability, stats: StackedStats) -> None:
    """Accumulate with full matrices and inverses, recording by recording, as short programs do."""
    scaled = model.scaled_loadings.reshape(model.loadings.shape)
    squares = np.einsum("cdr,cds->crs", model.loadings, scaled, optimize=True)
    moments, products = np.zeros_like(squares), np.zeros_like(model.loadings)
    for zeroth, first in zip(stats.zeroth, stats.first, strict=True):
        covariance = np.linalg.inv(np.eye(model.rank) + np.tensordot(zeroth, squares, 1))
        factors = covariance @ (scaled.reshape(-1, model.rank).T @ first.ravel())
        moments += zeroth[:, None, None] * (covariance + np.outer(factors, factors))
        products += first[:, :, None] * factors


def show_size(n_components: int, n_features: int, rank: int, n_recordings: int) -> None:
    """Time one size."""
    model, stats = problem(n_components, n_features, rank, n_recordings)
    calls: dict[str, Callable[[], object]] = {
        "speechgmm, E step": partial(e_step, model, blocks_of(stats, BLOCK)),
        PRODUCTS: bare_products(model, stats),
        FACTORS: factorisations(rank, n_recordings),
        EXTRACTION: partial(ivectors, model, stats),
        LOOP: partial(loop_over_recordings, model, stats.rows(range(LITERAL_RECORDINGS))),
    }
    times = seconds(calls, n_rounds=3)
    times[LOOP] *= n_recordings / LITERAL_RECORDINGS
    ours = times["speechgmm, E step"]
    times[ALL] = times[PRODUCTS] + times[FACTORS]
    sizes = f"C {n_components}, D {n_features}, R {rank}, {n_recordings} recordings"
    print(f"{sizes}: E step {ours:.2f} s (one thread, median)")
    for name in ("speechgmm, E step", ALL, PRODUCTS, FACTORS, EXTRACTION, LOOP):
        each = times[name]
        print(f"  {name:34s} {1e3 * each / n_recordings:9.3f} ms a recording   {each / ours:7.3f} of the E step")


def main() -> None:
    """Print a table for each size."""
    for sizes in SIZES:
        show_size(*sizes)


if __name__ == "__main__":
    main()
