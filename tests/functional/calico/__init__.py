"""Our store in the hands of Calico's own programs."""
