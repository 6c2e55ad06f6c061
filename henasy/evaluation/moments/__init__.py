"""The benchmark of moments: finders, queries, tables."""
