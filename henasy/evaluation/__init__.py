"""How good the embeddings are: metrics as pure functions, annotation loaders, and the benchmarks' embeddings."""
