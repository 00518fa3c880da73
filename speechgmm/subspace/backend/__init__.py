"""Back ends: an ordered list of steps on vectors that ends in a scorer."""
