"""BGP of one node: peers and announcements from etcd to ExaBGP, learned routes to the kernel.

May import felix_py.datastore, felix_py.kernel, felix_py.runtime and ipam. Start reading at loop.py.
relay.py and launcher.py run as processes of their own and import the standard library alone.
"""
