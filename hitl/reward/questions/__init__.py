"""What to ask people, and when."""
