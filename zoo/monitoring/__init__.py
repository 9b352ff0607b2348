"""Whether requests still look like the data a model was made for."""
