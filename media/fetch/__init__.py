"""Media from files, http(s) and object stores, within the limits of a policy."""
