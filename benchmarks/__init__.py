"""Scripts that measure the figures of docs/benchmarks.md. Run each with `python -m benchmarks.NAME`."""
