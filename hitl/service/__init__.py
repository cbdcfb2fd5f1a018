"""The feedback service: gRPC in front of the storage, a process of its own."""
