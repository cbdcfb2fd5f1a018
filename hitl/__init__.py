"""People: what they say, how it is kept, what it means, and the reward learnt from it."""
