"""What computes a reward: the ensemble, and what it reads."""
