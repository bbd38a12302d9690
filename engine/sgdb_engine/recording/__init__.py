"""The run folder: writing, reading, tailing, history."""
