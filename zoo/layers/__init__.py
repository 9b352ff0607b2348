"""Layers and functions that several model families share."""
