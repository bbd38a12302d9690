"""The one observer: hooks, statistics, the records of a step."""
