"""Catalogue rows to embeddings in LanceDB: sources, batching, resume, failure ledger."""

import os

# read when lancedb is imported: it warns on stderr of inner steps, such as partitions that an extension leaves empty
os.environ.setdefault("LANCEDB_LOG", "error")
