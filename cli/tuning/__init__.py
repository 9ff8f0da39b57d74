"""`firstsight tune`."""
