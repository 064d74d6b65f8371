"""What Calico v3.32 takes in each kind's spec, as tables. Pure; imports felix_py.datastore's codecs.

Start in shape.py (what a table is made of), then policy.py. The kinds are in felix_py.ctl.kinds.
"""
