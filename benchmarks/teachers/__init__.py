"""Teachers who err: how soon they are flagged, and what they cost."""
