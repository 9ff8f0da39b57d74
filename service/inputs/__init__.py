"""Inputs of requests: filters, pictures, uploads, posted items."""
