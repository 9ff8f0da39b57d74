"""Indexing: from catalogue rows to embeddings in LanceDB, with resume and a list of failures."""
