"""Questions on their way out: what to ask about, when, and how it reaches the feedback service."""
