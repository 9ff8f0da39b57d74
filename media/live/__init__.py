"""Live streams: a sampler, and the child process that reads the stream."""
