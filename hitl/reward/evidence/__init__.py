"""What people say, kind by kind, as evidence about the reward.

`evidence.py` is the seam; each kind has a file with what counts of it and how likely it is.
"""
