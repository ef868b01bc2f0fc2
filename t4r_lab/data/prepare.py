"""`prepare`, by the path that programs written against the first version know: importing it gives the function."""

import sys

from t4r_lab.data.pipeline.prepare_events import prepare

sys.modules[__name__] = prepare  # type: ignore[assignment]  # as `t4r_lab.data.prepare` is
