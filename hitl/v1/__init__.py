"""Generated from hitl/v1/*.proto by `make protos`."""
