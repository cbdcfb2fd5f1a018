"""A planted reward hack: what the guards see of it, and what becomes of the policy with and without them."""
