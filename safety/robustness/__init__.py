"""Safety heads under corruptions and evasions."""
