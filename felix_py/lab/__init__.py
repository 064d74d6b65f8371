"""The lab: racks of nodes in network namespaces, with real ToRs and a real etcd, and sentences about them.

May import everything of ours; nothing of ours imports it. Start reading at bring_up.py (what happens
in which order) and topology.py (what can be described); machine.py says what a machine is here.
"""
