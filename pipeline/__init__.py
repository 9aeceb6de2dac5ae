"""Jobs and options: wires `clickstream.transforms` and `clickstream.io` together. Holds no logic of its own."""
