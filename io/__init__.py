"""The outside world: one module per system, each with a pure half (rows, actions) and a thin half that talks."""
