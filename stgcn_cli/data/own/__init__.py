"""One's own data: clips of any format -> annotation pickles; what is in them, and what is wrong with them."""
