"""Child processes that decode media: messages, limits and the pool."""
