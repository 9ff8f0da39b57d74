"""Parts of a database that understand its content: tags."""
