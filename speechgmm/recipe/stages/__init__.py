"""The stages of an experiment, one file each: inputs, version, work and the files it writes."""
