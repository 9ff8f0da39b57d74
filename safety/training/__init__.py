"""Labels, and the heads that are trained on them."""
