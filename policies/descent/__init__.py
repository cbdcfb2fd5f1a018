"""One step down the gradient of a loss, as fast as the device allows: traced, and run without autograd."""
