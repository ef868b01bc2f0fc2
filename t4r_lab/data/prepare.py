"""`prepare`, by the path that programs written against the first version know.

``t4r_lab.data.prepare`` is a function; where this module has been imported it can be called just the same.
"""

import sys
from types import ModuleType

from t4r_lab.data.pipeline.prepare_events import prepare

__all__ = ["prepare"]


class _Called(ModuleType):
    __call__ = staticmethod(prepare)


sys.modules[__name__].__class__ = _Called
