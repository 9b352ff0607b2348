"""Tuning: a search for the settings and hyperparameters with the best validation score."""
