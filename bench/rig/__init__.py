"""What the benches run their measurements with."""
