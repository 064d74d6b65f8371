"""What is done once for a cluster by the Job `felix-py-install`: certificates, etcd's users, first objects.

Every step looks at what there is and does only what is missing, so it may be repeated at any time. Start
with main.py. May import everything below felix_py.ctl, and felix_py.ctl.
"""
