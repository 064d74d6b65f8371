"""What the Kubernetes API knows, and how we reach it: a port, its adapter, and the port in memory.

May import felix_py.runtime only. Start with model.py (values), then port.py; reflector.py keeps a
mailbox equal to one kind of objects, which is how a daemon should know them.
"""
