"""Text in pictures, read by optical character recognition (extra `ocr`)."""
