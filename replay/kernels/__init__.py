"""Compiled kernels: plain loops over integer columns in time order, each with a plain-Python oracle in the tests.

Importing this package imports nothing; importing one of its modules imports numba (about half a second), so commands do
it inside their functions. Kernels release the GIL and cache their machine code beside the module.
"""
