"""DAgger against behaviour cloning, against the horizon, and against `imitation`'s DAgger."""
