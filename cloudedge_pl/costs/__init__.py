"""Memory, roofline, queueing, transmission and energy of a cut network, as pure functions over numpy arrays."""
