"""The arithmetic of the E step and of scores, on arrays alone: numpy, numba and PyTorch, and the choice among them."""
