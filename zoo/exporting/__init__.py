"""Exporting models as SavedModels and other formats, verifying them, and loading models."""
