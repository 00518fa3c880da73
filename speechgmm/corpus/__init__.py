"""Who said what, where: utterances, trials, and the files that list them."""
