"""One's own archive: queries, judgements, rankings."""
