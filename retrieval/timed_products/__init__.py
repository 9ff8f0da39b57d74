"""Proposals of products that videos show, from frames and product pictures."""
