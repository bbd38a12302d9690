"""The pre-flight: one file an experiment."""
