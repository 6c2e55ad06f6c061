"""Search as a gRPC service, its client and its commands."""
