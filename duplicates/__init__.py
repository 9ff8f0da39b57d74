"""Near-duplicate pictures and videos among stored views."""
