"""Grid search: many runs of one target, each an engine process of its own, supervised and compared."""
