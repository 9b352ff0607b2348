"""`ServingError`: the answer to a request that fails."""

import numpy as np

# gRPC's name of an error, and TF Serving's HTTP status for it
HTTP_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
MAX_BATCH = 1024  # examples of one request
MAX_BYTES = 64 << 20  # of one request


class ServingError(Exception):
    """A request that is not answered.

    Attributes:
        code: gRPC's name of the error, a key of `HTTP_STATUSES`.
        message: What is wrong.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


def check_batch(arrays: dict[str, np.ndarray]) -> None:
    """Refuses more examples than the memory of a laptop may hold in a model.

    Raises:
        ServingError: if an input has more than `MAX_BATCH` examples.
    """
    for name, array in arrays.items():
        if array.ndim and len(array) > MAX_BATCH:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"{name}: {len(array):,} examples in one request: zoo serve takes {MAX_BATCH:,} "
                "at most",
            )
