"""The ear of the DICOM node: who may associate, what is accepted, where it goes.

Source: DICOM PS3.4 annex A (verification) and B (storage), PS3.7 9.1, PS3.8 9.3.
"""

import logging
import ssl
import tempfile
import threading
from typing import Any

from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.dicom_limits import OFFERED_PDU_BYTES, BoundedReader
from deeppneumonia.server.dicom_settings import NodeSettings, Tls
from deeppneumonia.server.dicom_spool import Spool, UnfitObjectError
from deeppneumonia.server.settings import is_loopback
from deeppneumonia.server.storage import DiskFullError

logger = logging.getLogger(__name__)

VERIFICATION = "1.2.840.10008.1.1"
TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    RLELossless,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    JPEG2000,
]
"""What our readers decode. Deflated is not among them: its size is known only when inflated."""

SUCCESS, OUT_OF_RESOURCES, DOES_NOT_MATCH, FAILED = 0x0000, 0xA700, 0xA900, 0xC000
"""PS3.4 table B.2-1."""

NOT_RECOGNISED = (0x01, 0x01, 0x03)
"""Rejected for good, by the service user: calling AE title (PS3.8 table 9-21)."""

CALLED_TITLE = 0x07
"""The reason of a rejection for the called AE title (likewise)."""

CONNECTIONS_PER_ASSOCIATION = 2
"""Connections beyond the associations, so that one more is rejected with its reason."""

ASSOCIATE_WITHIN_S = 15.0
"""Time to request an association after connecting; a node that is stopped waits as long."""


def prepare_process(spool: Spool) -> None:
    """Settings of pynetdicom that hold for the whole process: images go to files, logs stay mute.

    Its log lines quote what was received, and its temporary files belong on the spool's disk.
    """
    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    threading.excepthook = _tell_of_thread
    tempfile.tempdir = str(spool.receiving)


def _tell_of_thread(raised: threading.ExceptHookArgs) -> None:
    """A command that is none ends pynetdicom's thread, and with it its association."""
    name = "" if raised.thread is None else raised.thread.name
    logger.error("a connection broke off: %s in %s", raised.exc_type.__name__, name)


class Listener:
    """A storage SCP that is listening from its making until it is closed.

    Raises:
        ConfigError: the port is taken, or the certificates cannot be used.
    """

    def __init__(self, settings: NodeSettings, spool: Spool) -> None:
        self.settings = settings
        self.spool = spool
        entity = AE(ae_title=settings.ae_title)
        entity.maximum_pdu_size = OFFERED_PDU_BYTES
        entity.maximum_associations = settings.max_associations
        entity.network_timeout = entity.dimse_timeout = settings.network_timeout_s
        entity.acse_timeout = min(ASSOCIATE_WITHIN_S, settings.network_timeout_s)
        entity.require_called_aet = True
        entity.add_supported_context(VERIFICATION)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), TRANSFER_SYNTAXES)
        self._server = _Server.listening(self, entity)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    @property
    def connections(self) -> int:
        """How many are open, associated or not."""
        return len(self._server.active_associations)

    def close(self) -> None:
        """Take no more, and end what is open."""
        self._server.shutdown()
        for association in self._server.active_associations:
            if association.is_established:
                association.abort(block=False)
        self._server.hang_up_on_the_silent()

    def admits(self, address: str, ae_title: str | None = None) -> bool:
        """Whether a peer may call from this address; with a title, whether it is that peer's."""
        if not self.settings.peers:
            return is_loopback(address)
        return any(
            peer.is_at(address) and ae_title in (None, peer.ae_title)
            for peer in self.settings.peers
        )

    def on_requested(self, event: Any) -> None:
        """Reject a caller whose title is not that of a peer at its address."""
        association = event.assoc
        title = association.requestor.primitive.calling_ae_title
        if not self.admits(association.requestor.address, title):
            where = association.requestor.address
            logger.warning("rejected an association from %s: unknown AE title there", where)
            association.acse.send_reject(*NOT_RECOGNISED)
            association.is_rejected = True
            association.kill()

    def on_rejected(self, event: Any) -> None:
        """Tell of what pynetdicom has rejected by itself."""
        reason, where = event.assoc.acceptor.primitive, event.assoc.requestor.address
        is_title = reason.diagnostic == CALLED_TITLE
        why = "it calls another AE title than ours" if is_title else "there are too many already"
        logger.warning("rejected an association from %s: %s", where, why)

    def on_store(self, event: Any) -> int:
        """Answer a C-STORE request with a status; success only for what is on the disk."""
        request = event.request
        try:
            kept = self.spool.take(
                event.dataset_path,
                sop_class=str(request.AffectedSOPClassUID),
                sop_instance=str(request.AffectedSOPInstanceUID),
            )
        except DiskFullError:
            logger.error("an image was refused: the disk is almost full")
            return OUT_OF_RESOURCES
        except UnfitObjectError as error:
            logger.warning("%s", error)
            return DOES_NOT_MATCH
        except OSError as error:
            logger.error("an image was refused: it cannot be written (%s)", error.strerror)
            return OUT_OF_RESOURCES
        except Exception as error:  # any answer is better than none; its text may quote the image
            logger.error("an image was refused: %s", type(error).__name__)
            return FAILED
        logger.debug("an image was %s", "kept" if kept else "acknowledged and not kept")
        return SUCCESS


class _Handler(RequestHandler):
    """One connection; pynetdicom runs it in a thread of its own."""

    server: "_Server"

    def handle(self) -> None:
        if self.server.ssl_context is not None:
            try:
                self.request.do_handshake()
            except OSError:
                logger.warning("a connection was closed: it did not speak our TLS")
                self.server.shutdown_request(self.request)
                return
        super().handle()

    def _create_association(self) -> Any:
        association: Any = super()._create_association()
        settings = self.server.listener.settings
        reader = BoundedReader(
            association,
            max_object_bytes=settings.max_object_bytes,
            timeout_s=settings.network_timeout_s,
        )
        association.dul.socket.recv = reader.read
        association.bind(evt.EVT_PDU_RECV, lambda event: reader.count_pdu(event.pdu))
        association.bind(evt.EVT_DIMSE_RECV, lambda _event: reader.message_is_complete())
        return association


class _Server(ThreadedAssociationServer):
    """Asks who is there before anything is read, and never waits for anybody's handshake."""

    listener: Listener
    _open: list[Any]

    @classmethod
    def listening(cls, listener: Listener, entity: Any) -> "_Server":
        """A server in a thread of its own."""
        settings = listener.settings
        context = None if settings.tls is None else server_context(settings.tls)
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, listener.on_requested),
            (evt.EVT_REJECTED, listener.on_rejected),
            (evt.EVT_C_STORE, listener.on_store),
        ]
        try:
            server = cls(
                entity,
                (settings.host, settings.port),
                settings.ae_title,
                entity.supported_contexts,
                ssl_context=context,
                evt_handlers=handlers,
                request_handler=_Handler,
            )
        except OSError as error:
            raise ConfigError(
                f"The node cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
                "stop what listens there, or choose another port."
            ) from error
        server.listener, server._open = listener, []
        entity._servers.append(server)
        threading.Thread(target=server.serve_forever, name="dicom-node", daemon=True).start()
        return server

    def get_request(self) -> Any:
        assert self.socket is not None
        client, address = self.socket.accept()
        client.settimeout(self.listener.settings.network_timeout_s)
        if self.ssl_context is not None:
            client = self.ssl_context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            )
        return client, address

    def hang_up_on_the_silent(self) -> None:
        """Close connections on which no association was asked for."""
        for association in self.active_associations:
            wrapper = association.dul.socket
            if not association.is_established and wrapper is not None and wrapper.socket:
                self.shutdown_request(wrapper.socket)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        settings = self.listener.settings
        if not self.listener.admits(client_address[0]):
            logger.warning("a connection from %s was closed: no peer is there", client_address[0])
            return False
        # A closed socket has no file number. Threads would be the wrong thing to count: the one of
        # this connection is not there yet, nor may be that of the one before.
        self._open = [connection for connection in self._open if connection.fileno() >= 0]
        if len(self._open) >= CONNECTIONS_PER_ASSOCIATION * settings.max_associations:
            logger.warning("a connection was closed: there are %d already", len(self._open))
            return False
        self._open.append(request)
        return True


def server_context(tls: Tls) -> ssl.SSLContext:
    """For incoming connections: TLS 1.2 or newer; with a CA, peers have to be vouched for.

    Raises:
        ConfigError: a certificate or key cannot be read, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.ca:
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise ConfigError(
            "The certificate, key or CA of [dicom_node.tls] cannot be used "
            f"({error.strerror or type(error).__name__}): give PEM files that belong together."
        ) from error
    return context
