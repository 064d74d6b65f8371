"""Every value that a key of ours can hold."""

from __future__ import annotations

from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    ClusterInformation,
    GenericResource,
    Handle,
    IPAMConfig,
    IPPool,
    IPReservation,
    Node,
    Profile,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.model_own import DaemonStatus, Session
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
