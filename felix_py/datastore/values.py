"""Every value that a key of ours can hold."""

from __future__ import annotations

from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import (
    BGPConfiguration,
    BGPPeer,
    Block,
    BlockAffinity,
    ClusterInformation,
    DaemonStatus,
    GenericResource,
    Handle,
    IPAMConfig,
    IPPool,
    IPReservation,
    Node,
    Profile,
    Session,
    WorkloadEndpoint,
)
from felix_py.datastore.territory import Holding

Value = (
    IPPool
    | IPReservation
    | ClusterInformation
    | Node
    | Profile
    | GenericResource
    | BGPConfiguration
    | BGPPeer
    | FelixConfiguration
    | WorkloadEndpoint
    | Block
    | Holding
    | BlockAffinity
    | Handle
    | IPAMConfig
    | Session
    | DaemonStatus
)
