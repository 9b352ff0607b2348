"""Attributions: integrated gradients, Grad-CAM and occlusion."""
