"""What a policy does before anybody has said what is wanted: rewards of its own."""
