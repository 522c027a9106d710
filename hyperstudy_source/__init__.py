"""Loads HyperStudy experiments with dlt: everything that the V3 API serves, complete and current, into SQL."""

from hyperstudy_source.errors import (
    ApiError,
    DestinationError,
    Forbidden,
    HyperStudyError,
    Intercepted,
    KeyRejected,
    NotFound,
    PipelineBusy,
    QuotaReached,
    RateLimited,
    RequestRejected,
    ServerFailed,
    SettingError,
    Unreachable,
)
from hyperstudy_source.load import LoadReport, TableReport, load
from hyperstudy_source.source import hyperstudy_source

__all__ = [
    "ApiError",
    "DestinationError",
    "Forbidden",
    "HyperStudyError",
    "Intercepted",
    "KeyRejected",
    "LoadReport",
    "NotFound",
    "PipelineBusy",
    "QuotaReached",
    "RateLimited",
    "RequestRejected",
    "ServerFailed",
    "SettingError",
    "TableReport",
    "Unreachable",
    "hyperstudy_source",
    "load",
]
