"""Smaller models from trained ones: quantisation, pruning, distillation, and what they cost."""
