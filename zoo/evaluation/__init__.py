"""Evaluation: predictions, scores, plots, metrics.json and model cards."""
