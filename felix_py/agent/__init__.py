"""Felix: keeps the kernel as etcd says, for the pods of one node.

May import felix_py.datastore, felix_py.kernel, felix_py.runtime and ipam. Start reading at loop.py.
"""
