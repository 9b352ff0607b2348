"""Devices and workers: strategies of tf.distribute, and the cluster of TF_CONFIG."""
