"""felix-lab: racks, ToRs, nodes and pods in network namespaces of one machine."""
