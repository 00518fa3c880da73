"""What the transformers of recordings share: a background mixture, trained on all their frames or given."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from speechgmm.errors import ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.sklearn.mixture import DiagonalGaussianMixture
from speechgmm.sklearn.recordings import Recordings, RecordingsLike, as_items
from speechgmm.sklearn.rows import PRECISIONS


class RecordingTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A transformer of recordings to vectors, by their statistics under a background mixture.

    Subclasses have the parameters of `DiagonalGaussianMixture` but for `gmm_init`, and these two.
    """

    ubm: DiagonalGMM | DiagonalGaussianMixture | None
    front_end: FeatureConfig | None

    def _fit_background(self, X: RecordingsLike, at_least: int = 1) -> Recordings:
        """Train the mixture, or take the given one; return the recordings, in memory if they had to be."""
        given = _given_model(self.ubm)
        items = self._items(X, at_least, reset=True)
        recordings = Recordings(items, self.front_end, None if given is None else given.n_features)
        self.n_iter_ = 0
        if given is None:
            recordings = Recordings(list(recordings), None)
            mixture = self._mixture().fit(np.concatenate(recordings.items))
            self.n_iter_ = mixture.n_iter_
            given = mixture.gmm_
        self.ubm_ = given
        return recordings

    def _fitted_recordings(self, X: RecordingsLike) -> Recordings:
        """Return recordings to transform."""
        check_is_fitted(self)
        return Recordings(self._items(X, at_least=1, reset=False), self.front_end, self.ubm_.n_features)

    def _items(self, X: RecordingsLike, at_least: int, *, reset: bool) -> list[Any]:
        """Return the recordings of a list, or each row of a table as a recording of one frame."""
        items = as_items(X)
        if items is None:
            rows = validate_data(self, X, dtype=PRECISIONS, reset=reset, ensure_min_samples=at_least)
            return list(rows[:, None])
        if len(items) < at_least:
            raise ModelError(f"X of {len(items)} recordings; expected {at_least} or more")
        for name in ("n_features_in_", "feature_names_in_"):
            if reset and hasattr(self, name):
                delattr(self, name)  # of a table that it was fitted to before
        return items

    def _mixture(self) -> DiagonalGaussianMixture:
        """Return the mixture to train, with the parameters of this estimator."""
        mixture = DiagonalGaussianMixture()
        names = mixture.get_params().keys() - {"gmm_init"}
        mixture.set_params(**{name: getattr(self, name) for name in names})
        return mixture


def _given_model(ubm: DiagonalGMM | DiagonalGaussianMixture | None) -> DiagonalGMM | None:
    """Return the model of a given background mixture, if one is given."""
    if ubm is None or isinstance(ubm, DiagonalGMM):
        return ubm
    gmm = getattr(ubm, "gmm_", None)
    if not isinstance(gmm, DiagonalGMM):
        raise ModelError(
            f"ubm {ubm!r} is not a fitted model; expected a DiagonalGMM or a fitted DiagonalGaussianMixture. "
            "Cross-validation and searches clone estimators, and clones are not fitted: give them its gmm_"
        )
    return gmm
