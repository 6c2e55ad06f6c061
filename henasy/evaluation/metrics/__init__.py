"""Pure measures: numbers from scores and truth, numpy alone."""
