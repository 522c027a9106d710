"""A local stand-in for the HyperStudy V3 API with a synthetic study: for demo, tests and benchmark.

Standard library only, and CRC32C. `python -m hyperstudy_source.standin` serves the demo study until Ctrl-C.
"""

from hyperstudy_source.standin.behaviour import Behaviour, Fault
from hyperstudy_source.standin.bulk import ratings_study
from hyperstudy_source.standin.demo import demo_study
from hyperstudy_source.standin.files import BLOCK, Made, digest
from hyperstudy_source.standin.requests_seen import Request
from hyperstudy_source.standin.server import DEMO_KEY, StandIn
from hyperstudy_source.standin.study import TABLES, Link, Row, Study, Table

__all__ = [
    "BLOCK",
    "DEMO_KEY",
    "TABLES",
    "Behaviour",
    "Fault",
    "Link",
    "Made",
    "Request",
    "Row",
    "StandIn",
    "Study",
    "Table",
    "demo_study",
    "digest",
    "ratings_study",
]
