"""How far the reward model can be relied upon, and what is done where it cannot."""
