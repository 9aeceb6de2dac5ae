"""What the numbers mean: pure functions on columns, and the PTransforms that wire them. No I/O, no servers."""
