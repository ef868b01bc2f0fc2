"""``python -m t4r_lab`` is ``t4r-lab``."""

from t4r_lab.cli.program import main

raise SystemExit(main())
