"""Rules on what was observed."""
