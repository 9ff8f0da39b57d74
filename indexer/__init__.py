"""Catalogue rows to embeddings in LanceDB: sources, batching, resume, failure ledger."""
