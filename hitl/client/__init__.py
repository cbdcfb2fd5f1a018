"""The client library: what scripts, teachers and the cluster talk to the service with."""
