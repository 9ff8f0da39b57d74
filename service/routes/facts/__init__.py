"""Routes of facts and tags."""
