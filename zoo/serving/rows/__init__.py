"""Rows of files for prediction: reading, predicting and writing them."""
