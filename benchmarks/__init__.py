"""Scripts that make the figures of docs/benchmarks.md; run each with `python -m benchmarks.NAME`."""
