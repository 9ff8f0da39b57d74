"""Programs that an export copies into its folder. They run there without firstsight, so they import nothing of it."""
