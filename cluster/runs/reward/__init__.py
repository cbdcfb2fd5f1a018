"""The reward's part of a run file; `config.py` is its root."""
