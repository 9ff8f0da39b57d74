"""SQL conditions: parse, allow, rewrite and write them; literals, names and lists of ids."""
