"""Who speaks when in a recording of unknown speakers: windows, clusters of them, and the turns between clusters."""
