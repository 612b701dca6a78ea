"""Sources of data and the loader: numpy in, numpy out."""
