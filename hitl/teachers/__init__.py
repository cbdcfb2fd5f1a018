"""Teachers that are programs: they see the true reward, or a record, and answer over gRPC as people do."""
