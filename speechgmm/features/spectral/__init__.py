"""From samples to static features: windows, filters, cepstra."""
