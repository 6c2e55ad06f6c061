"""From annotated spans to embeddings: frames, features made elsewhere, the cache."""
