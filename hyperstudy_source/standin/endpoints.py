"""Endpoints beside the data: experiments, deployments, personas and health."""

from __future__ import annotations

from hyperstudy_source.standin.answers import Answer, not_found, success
from hyperstudy_source.standin.query import EXPERIMENTS_LIMIT, page_of
from hyperstudy_source.standin.routing import Asked, get
from hyperstudy_source.standin.study import Json

SUMMARY_FIELDS = (
    "id",
    "name",
    "description",
    "ownerEmail",
    "ownerId",
    "roomCount",
    "participantCount",
    "createdAt",
    "updatedAt",
    "requiredParticipants",
    "organizationId",
)
"""Fields of an experiment that the list shows."""
COUNTED_FIELDS = frozenset({"roomCount", "participantCount"})
"""Fields of the list that a behaviour can do without."""
DERIVED_FIELDS = ("ownerEmail", "roomCount", "participantCount")
"""Fields of the enriched detail that the raw config lacks."""
SESSION_FIELDS = ("id", "experimentId", "deploymentId", "status", "participantCount", "createdAt")


@get("/health")
def health(asked: Asked) -> Answer:
    """Say that the stand-in is up; needs no key."""
    return success({"status": "ok", "version": "3.0.0"}, asked.metadata("health", "system", "api"))


@get("/experiments")
def experiments(asked: Asked) -> Answer:
    """List this account's experiments."""
    return _experiment_page(asked, asked.study.experiments)


@get("/experiments/shared")
def shared_experiments(asked: Asked) -> Answer:
    """List what other organisations share with the one in `X-Organization-Id`."""
    return _experiment_page(asked, asked.study.shared.get(asked.organization or "", []))


@get("/experiments/{experiment_id}")
def experiment(asked: Asked, experiment_id: str) -> Answer:
    """Show an experiment in detail: a list of one."""
    asked.require("read:experiments")
    metadata = asked.metadata("experiment", "experiment", experiment_id)
    return success(asked.one_or_list([asked.experiment(experiment_id)]), metadata)


@get("/experiments/{experiment_id}/config")
def experiment_config(asked: Asked, experiment_id: str) -> Answer:
    """Show an experiment's definition without what is counted or looked up."""
    asked.require("read:experiments")
    detail = asked.experiment(experiment_id)
    config = {name: value for name, value in detail.items() if name not in DERIVED_FIELDS}
    return success(
        asked.one_or_list([config]), asked.metadata("experimentConfig", "experiment", experiment_id)
    )


@get("/experiments/{experiment_id}/export")
def experiment_export(asked: Asked, experiment_id: str) -> Answer:
    """Show an experiment as portable JSON."""
    asked.require("read:experiments")
    detail = asked.experiment(experiment_id)
    definition = {name: value for name, value in detail.items() if name not in SUMMARY_FIELDS}
    portable = {
        "filename": f"{experiment_id}-export.json",
        "experiment": {"name": detail["name"], "description": detail["description"], **definition},
        "mediaAssets": [],
    }
    return success(portable, asked.metadata("experimentExport", "experiment", experiment_id))


@get("/deployments")
def deployments(asked: Asked) -> Answer:
    """List deployments, all in one answer; filters `experimentId` and `status`."""
    asked.require("read:experiments")
    wanted = {name: asked.params[name] for name in ("experimentId", "status") if name in asked.params}
    rows = [each for each in asked.study.deployments if wanted.items() <= each.items()]
    return success(asked.one_or_list(rows), asked.metadata("deployments", "user", "user_owner"))


@get("/deployments/{deployment_id}")
def deployment(asked: Asked, deployment_id: str) -> Answer:
    """Show one deployment: an object."""
    return success(
        _deployment(asked, deployment_id), asked.metadata("deployment", "deployment", deployment_id)
    )


@get("/deployments/{deployment_id}/sessions")
def sessions(asked: Asked, deployment_id: str) -> Answer:
    """List the rooms of a deployment."""
    experiment_id = _deployment(asked, deployment_id)["experimentId"]
    rooms = asked.study.of("rooms", experiment_id)
    rows = [
        {name: room.get(name) for name in SESSION_FIELDS}
        for room in rooms
        if room.get("deploymentId") == deployment_id
    ]
    return success(asked.one_or_list(rows), asked.metadata("sessions", "deployment", deployment_id))


@get("/deployments/{deployment_id}/agent-spend")
def agent_spend(asked: Asked, deployment_id: str) -> Answer:
    """Show what a deployment's agents cost, in US dollars."""
    experiment_id = _deployment(asked, deployment_id)["experimentId"]
    rooms = {
        room.room_id
        for room in asked.study.of("rooms", experiment_id)
        if room.get("deploymentId") == deployment_id
    }
    per_room: dict[str, float] = {}
    for run in asked.study.of("agent_runs", experiment_id):
        if run.room_id is not None and run.room_id in rooms:
            spent = per_room.get(run.room_id, 0.0) + float(run.get("totalCostUsd") or 0)
            per_room[run.room_id] = round(spent, 6)
    spend = {"total": round(sum(per_room.values()), 6), "perRoom": per_room}
    return success(spend, asked.metadata("agentSpend", "deployment", deployment_id))


@get("/personas")
def personas(asked: Asked) -> Answer:
    """List agent personas."""
    asked.require("read:personas")
    return success(asked.one_or_list(asked.study.personas), asked.metadata("personas", "user", "user_owner"))


@get("/personas/{persona_id}")
def persona(asked: Asked, persona_id: str) -> Answer:
    """Show one persona: an object."""
    asked.require("read:personas")
    found = next((each for each in asked.study.personas if each["id"] == persona_id), None)
    if found is None:
        raise not_found("Persona", persona_id)
    return success(found, asked.metadata("persona", "persona", persona_id))


def _deployment(asked: Asked, deployment_id: str) -> Json:
    asked.require("read:experiments")
    found = next((each for each in asked.study.deployments if each["id"] == deployment_id), None)
    if found is None:
        raise not_found("Deployment", deployment_id)
    return found


def _experiment_page(asked: Asked, listed: list[Json]) -> Answer:
    asked.require("read:experiments")
    limit, offset = page_of(asked.path, asked.params, asked.behaviour, EXPERIMENTS_LIMIT)
    search = asked.params.get("search", "").lower()
    listed = [each for each in listed if each["id"] not in asked.behaviour.unlisted]
    found = [each for each in listed if search in f"{each['name']} {each.get('description') or ''}".lower()]
    if asked.behaviour.whole_answers:
        limit, offset = max(len(found), 1), 0
    hidden = frozenset() if asked.behaviour.list_tells else COUNTED_FIELDS
    rows = [
        {name: each[name] for name in SUMMARY_FIELDS if name in each and name not in hidden}
        for each in found[offset : offset + limit]
    ]
    metadata = asked.metadata("experiments", "user", "user_owner")
    metadata |= asked.pagination(len(found), len(rows), limit, offset, len(listed))
    return success(asked.one_or_list(rows), metadata)
