"""Settings of slates, and the rules between the items of one."""
