"""Facts about items and views, as they are stored."""
