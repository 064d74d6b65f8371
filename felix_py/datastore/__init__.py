"""What the cluster knows, and how we reach it: Calico's keys and values behind one port.

May import felix_py.runtime. Start reading at model.py, then store.py and syncer.py.
"""
