"""Which of several policies people prefer: answers counted, winners with intervals, and what to compare next."""
