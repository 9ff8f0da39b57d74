"""Commands of `firstsight evaluate`."""
