"""The fitted ranking: score terms of a user and a candidate, joined by fitted weights."""
