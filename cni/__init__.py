"""The CNI plugin: a static shim that the runtime starts, a server that does the work.

May import ipam, felix_py.datastore, felix_py.kernel and felix_py.runtime. Start reading at server.py.
"""
