"""Known pictures: lists of hashes and the bank of them."""
