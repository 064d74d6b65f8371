"""A lease that nobody waits for any more goes back. Pure."""

from __future__ import annotations

from ipam.draft import Draft
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest


def give_back(
    request: AssignRequest | ReleaseRequest, answer: Lease | Released, draft: Draft
) -> ReleaseRequest | None:
    """The release of what this answer newly gave, None when it gave nothing.

    draft: the transaction that committed, which knows the endpoint's container.
    """
    if not isinstance(answer, Lease) or not answer.fresh or not isinstance(request, AssignRequest):
        return None
    endpoint = request.endpoint.key if request.endpoint else None
    container = draft.container_of(endpoint) if endpoint else None
    return ReleaseRequest(request.handle_id, container or "", endpoint if container else None)
