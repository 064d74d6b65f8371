"""Which address is whose: Calico's blocks, affinities and handles, one transaction per decision.

May import felix_py.datastore and felix_py.runtime. Start reading at block.py, then allocator.py.
"""
