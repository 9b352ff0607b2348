"""The page of `zoo demo`, to try a model."""
