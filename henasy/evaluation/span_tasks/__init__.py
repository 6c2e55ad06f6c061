"""EgoNLQ and EgoMQ: features of clips, heads, predictions, runs."""
