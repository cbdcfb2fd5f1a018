"""What RLlib's config builder lacks or does not read, and what follows from what it says."""
