"""The reward model for those who use it: the learner, and whoever acts by it."""
