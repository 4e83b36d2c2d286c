"""The Lightning strategies: a face over one run.

``hooks.py`` has :class:`RunHooks`, the base class that every strategy here shares; ``cloudedge.py`` the strategy on one
device, a thin subclass of it. A second strategy, such as one over several processes, is a file beside ``cloudedge.py``;
hooks.py says what it must supply. ``settings.py`` holds what a strategy was asked for, ``run.py`` what lives for one
fit, ``step.py`` what lives for one training step.
"""
