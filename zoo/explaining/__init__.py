"""Explanations: of predictions of any model, of mistakes and of datasets, and their pictures."""
