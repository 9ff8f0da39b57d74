"""Parts of the benchmark of content understanding, one module each with `run(data)`."""
