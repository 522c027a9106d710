"""A local stand-in for the HyperStudy V3 API with a synthetic study: for demo, tests and benchmark.

Standard library only. `python -m hyperstudy_source.standin` serves the demo study until Ctrl-C.
"""

from hyperstudy_source.standin.behaviour import Behaviour, Fault
from hyperstudy_source.standin.bulk import ratings_study
from hyperstudy_source.standin.demo import demo_study
from hyperstudy_source.standin.requests_seen import Request
from hyperstudy_source.standin.server import DEMO_KEY, StandIn
from hyperstudy_source.standin.study import TABLES, Row, Study, Table

__all__ = [
    "DEMO_KEY",
    "TABLES",
    "Behaviour",
    "Fault",
    "Request",
    "Row",
    "StandIn",
    "Study",
    "Table",
    "demo_study",
    "ratings_study",
]
