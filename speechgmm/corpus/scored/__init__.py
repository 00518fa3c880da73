"""Scores of any toolkit: score files joined with trial lists, the speakers of trials, and the evaluation."""
