"""The processes of a run: started, watched, started anew, and ended."""
