"""Processes and time: rollouts, learning, supervision, runs and the command line."""
