"""What TF Serving needs beside a model, and what talks to it."""

__all__ = ["Client"]


def __getattr__(name: str):
    if name != "Client":
        raise AttributeError(f"module 'zoo.serving' has no attribute {name!r}")
    from zoo.serving.client import Client

    return Client
