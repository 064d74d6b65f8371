"""Builds the product's images as archives, without a registry, a container engine or root.

`python -m image` writes dist/felix-py-<version>.tar and dist/felix-py-etcd-<version>.tar;
`python -m image lock` rewrites the lock files. Not installed, and not in the image.

debian.py and wheels.py fetch what an image is made of, as trees in memory; contents.py says which of
it a node needs; bytecode.py compiles Python; check.py looks whether programs find their libraries;
build.py puts all together, and felix_py.lab.oci writes it. May import felix_py.lab; nothing imports
this but its tests.
"""
