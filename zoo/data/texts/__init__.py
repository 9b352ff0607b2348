"""Texts: tokenizers, and what splits, normalises and encodes texts with them."""
