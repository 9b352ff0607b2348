"""Data drift: whether requests still look like the data that a model was made for."""
