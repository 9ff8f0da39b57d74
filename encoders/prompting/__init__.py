"""Text towers in torch whose prompts can be learned, for CoOp."""
