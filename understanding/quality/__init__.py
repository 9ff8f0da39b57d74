"""Picture quality by pixels: what a shop would want to fix."""
