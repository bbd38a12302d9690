"""The headless half of sgdb: trains, observes, checks and remembers. Imports nothing, so each part can be had alone."""
