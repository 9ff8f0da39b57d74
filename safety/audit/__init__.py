"""The audit log, and the tables that must agree with it."""
