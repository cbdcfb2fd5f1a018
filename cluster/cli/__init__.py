"""The command `handrail`: torch-free processes that start, watch and stop the others."""
