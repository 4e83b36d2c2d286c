"""The edge part in training: shared weights or each node's own, their aggregation, and the data the nodes own."""
