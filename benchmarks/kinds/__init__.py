"""What a second of a teacher's time is worth in each kind of feedback, and in all of them together."""
