"""What this host's network stack knows, and how we change it.

May import felix_py.runtime. Start reading at model.py and port.py, then route_table.py.
"""
