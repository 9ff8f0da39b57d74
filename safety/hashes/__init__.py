"""Known pictures: the hash bank, hash lists, and matching."""
