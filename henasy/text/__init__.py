"""Text before the model: tokens of a sentence, phrases of a query."""
