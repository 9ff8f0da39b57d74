"""Training of tags from labels, comparison of versions, and the report on one."""
