"""`python -m qeil_ros.cli` is `qeil`."""

from . import main

if __name__ == "__main__":
    raise SystemExit(main())
