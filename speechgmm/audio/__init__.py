"""Audio: files, headers, checks of samples and resampling."""
