"""Who speaks over loopback: the same rule as on the Unix socket, once the process is found."""

from __future__ import annotations

import trio

from ringmaster.proc.identity import PeerCredentials
from ringmaster.proc.loopback import End, Holder, HolderState, LoopbackPeers
from ringmaster.rpc.rights import Caller, CallerKind, Identification, is_own_uid
from ringmaster.web.routes import Peer

UNSEEN = {
    HolderState.HIDDEN: "its process cannot be seen by the daemon",
    HolderState.ELSEWHERE: "it is not on this machine, or in another network namespace",
    HolderState.UNKNOWN: "/proc does not say which process it is",
}


class Peers:
    """Says whose process is at the other end of a connection, and what it may do.

    unseen: of the last on this machine whose process could not be found, why; '' where there was none.
    """

    def __init__(self, identification: Identification, peers: LoopbackPeers | None = None) -> None:
        self.unseen = ""
        self._identification = identification
        self._peers = peers or LoopbackPeers()

    async def identify(self, local: End, remote: End) -> Peer:
        """Some milliseconds, on a thread."""
        holder = await trio.to_thread.run_sync(self._peers.find, local, remote)
        caller = self._caller_of(holder)
        return Peer(
            caller,
            caller.words,
            is_person=caller.kind is CallerKind.OPERATOR,
            is_refused=caller.kind is CallerKind.NONE,
        )

    def _caller_of(self, holder: Holder) -> Caller:
        if holder.uid >= 0 and not is_own_uid(PeerCredentials(holder.pid, holder.uid, -1)):
            return Caller(CallerKind.NONE, f"this daemon belongs to another user than uid {holder.uid}")
        if holder.state is HolderState.FOUND:
            caller = self._identification.identify(PeerCredentials(holder.pid, holder.uid, -1))
            if holder.is_current:
                return caller
        if holder.state in (HolderState.FOUND, HolderState.GONE):
            return Caller(CallerKind.NONE, "its process is gone")
        if holder.state is not HolderState.ELSEWHERE:
            self.unseen = UNSEEN[holder.state]
        # Whoever has the token is believed then, as on the Unix socket where the ancestry is hidden.
        return Caller(CallerKind.OPERATOR, UNSEEN[holder.state], is_weakened=True)
