"""The diagonal-covariance Gaussian mixture model: its value, statistics, training and adaptation."""
