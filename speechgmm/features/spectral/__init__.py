"""From samples to spectra, filter banks and cepstra."""
