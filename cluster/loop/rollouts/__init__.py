"""Rollouts: env runners gather them with the newest weights, and the driver batches them."""
