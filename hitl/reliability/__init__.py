"""How far teachers can be relied upon: agreement, flags, and a report on each."""
