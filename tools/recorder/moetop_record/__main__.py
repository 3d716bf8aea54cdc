"""`python -m moetop_record`."""
import sys

from .cli import main

sys.exit(main())
