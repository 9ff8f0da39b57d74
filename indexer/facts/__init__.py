"""Facts about pictures and items during an index run."""
