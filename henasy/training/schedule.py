"""The learning rate as a pure function of the step."""

import math

from henasy.training.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step (counted from 0): linear warm-up, then a cosine down to the floor."""
    if step < config.num_warmup_steps:
        return config.learning_rate * (step + 1) / config.num_warmup_steps
    floor = config.learning_rate * config.min_learning_rate_ratio
    span = max(1, config.num_steps - config.num_warmup_steps)
    progress = min(1.0, (step - config.num_warmup_steps) / span)
    return floor + (config.learning_rate - floor) * 0.5 * (1 + math.cos(math.pi * progress))
