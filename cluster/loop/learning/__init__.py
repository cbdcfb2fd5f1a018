"""The learner: rollouts become new weights on the device that is fastest."""
