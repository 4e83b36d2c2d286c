"""Batch normalisation and small convolutions of the edge part, computed as its nodes need them."""
