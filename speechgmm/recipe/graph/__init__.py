"""Which stage needs which: the graph of an experiment, the same whether it runs or is planned."""
