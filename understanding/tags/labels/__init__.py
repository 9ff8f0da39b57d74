"""Labels of tags, the values they may have, and what people gave."""
