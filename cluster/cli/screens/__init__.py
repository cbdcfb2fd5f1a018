"""What a terminal shows, and the keys that it listens to."""
