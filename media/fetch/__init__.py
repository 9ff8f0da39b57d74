"""Fetching of media from files, http(s) servers and object stores, within the limits of a policy."""
