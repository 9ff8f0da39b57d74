"""Parts of `benchmarks.understanding`, one per kind of fact."""
