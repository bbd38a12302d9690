"""Building blocks for configs: data, models, losses, optimizers, schedules."""
