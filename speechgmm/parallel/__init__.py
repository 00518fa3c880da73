"""Work spread over processes or a cluster, whose results come in one order."""
