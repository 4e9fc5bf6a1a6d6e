"""How fast an artifact is on a device: paired with the fp32 model, in a process of its own."""
