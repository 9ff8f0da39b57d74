"""Routes and the schemas of their bodies."""
