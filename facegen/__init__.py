"""facegen: learn to generate faces with GANs, and do it for real.

Importing this package does nothing else: no download, no compile, no seed, no device choice.
"""

__version__ = "0.1.0"
