"""The server of `zoo serve`: TF Serving's two APIs in one Python process, for trying models.

It is no server for production: it has no batching between requests, no limit on who may ask, and
Python's speed. The tests of the client run against it, and against TF Serving where it is there.
"""
