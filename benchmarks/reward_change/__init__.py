"""What helps a critic when the reward changes, and what exploring before any label covers."""
