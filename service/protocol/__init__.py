"""Connections: HTTP protocol, limits on slow clients, log filter."""
