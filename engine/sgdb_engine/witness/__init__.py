"""What the first steps of a training show of its wiring, its losses and its data."""
