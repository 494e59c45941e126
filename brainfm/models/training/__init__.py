"""Training: objectives and the two loops that minimise them."""
