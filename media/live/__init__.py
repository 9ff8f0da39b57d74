"""Live streams: a child process that watches one, and its sampler."""
