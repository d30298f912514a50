"""Pure Python that writes GPU programs. Calls no GPU, knows no NumPy, no Django."""
