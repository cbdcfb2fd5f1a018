"""`handrail compare`: which of several policies people prefer, as a process that plays, asks and counts."""
