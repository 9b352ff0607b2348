"""Transports: the ways to reach a model, over REST, over gRPC, or in this process."""
