"""What was demonstrated before: read from Minari datasets and from the journals of runs, and written to Minari."""
