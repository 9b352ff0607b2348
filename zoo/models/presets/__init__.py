"""Presets: pretrained weights and settings, read from files of other libraries."""
