"""Features in files of other programs: Kaldi, HTK, HDF5 and numpy."""
