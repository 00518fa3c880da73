"""Lists of scored trials, from any toolkit: reading them, who speaks in them, and their evaluation."""
