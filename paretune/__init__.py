"""Search mixed-precision and sparsity policies for a network, and pick from the measured front."""
