"""Acting with a trained policy: in NumPy or torch inside env runners, and alone for deployment."""
