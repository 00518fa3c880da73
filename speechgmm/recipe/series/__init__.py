"""Many experiments: the points of a sweep, their table, and the comparison of results."""
