"""Training: configuration, schedule, data, the trainer, and the recipe of henasy-tiny."""
