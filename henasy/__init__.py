"""Search for first-person video: the model, its losses, training, video, the index format and search."""

__version__ = "0.1.0"
