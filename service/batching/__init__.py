"""Queues that join the work of many requests into batches."""
