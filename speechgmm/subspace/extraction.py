"""Vectors of statistics, of the kind that a configuration names."""

from speechgmm.gmm.model import DiagonalGMM
from speechgmm.subspace.statistics import Statistics
from speechgmm.subspace.supervectors import supervectors
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig, Vectors


def extract_vectors(
    config: IVectorConfig | SupervectorConfig,
    model: TotalVariability | DiagonalGMM,
    statistics: Statistics,
    *,
    covariances: bool = False,
) -> Vectors:
    """Extract the vector of each recording: i-vectors by total variability, supervectors by the background model."""
    if isinstance(config, IVectorConfig):
        assert isinstance(model, TotalVariability)
        weight, most = config.acoustic_weight, config.max_count
        return ivectors(model, statistics, acoustic_weight=weight, max_count=most, covariances=covariances)
    assert isinstance(model, DiagonalGMM)
    return Vectors(supervectors(model, statistics, config.relevance_factor))
