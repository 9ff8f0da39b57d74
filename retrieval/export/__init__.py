"""Export: rows as Arrow batches, vectors as a matrix, and both as files."""
