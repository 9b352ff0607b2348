"""Datasets: reading, splitting, tokenization, augmentation and batching."""
