"""Work spread over processes or a cluster, with results in the order of the items."""
