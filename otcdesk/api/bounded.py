"""The HTTP protocol of the server with a bound on what comes before a body.

The parser would take headers of any size, before anybody has said who he is, and keep the event loop busy with them.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def bounded_protocol(*, head_bytes_max: int) -> type[HttpToolsProtocol]:
    """Return the protocol that takes so many bytes of request line and headers, and not one more."""

    class Bounded(HttpToolsProtocol):
        """Counts bytes until the headers of a request are whole; past the bound it answers 431 and hangs up."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._head_bytes = 0
            self._in_head = True

        def data_received(self, data: bytes) -> None:
            """Take bytes, unless they are too many for headers.

            One reading may hold headers and a large body: the parser gets what headers may have, and the rest only
            once it knows them to be over.
            """
            while self._in_head and len(data) > head_bytes_max - self._head_bytes:
                piece, data = data[: head_bytes_max - self._head_bytes], data[head_bytes_max - self._head_bytes :]
                self._head_bytes += len(piece)
                super().data_received(piece)
                if self.transport.is_closing():
                    return
                if self._in_head and self._head_bytes >= head_bytes_max:
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()
                    return
            if self._in_head:
                self._head_bytes += len(data)
            super().data_received(data)

        def on_headers_complete(self) -> None:
            """The headers are whole: the body has a bound of its own."""
            self._in_head = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            """The request is whole: the next one on this connection begins."""
            self._in_head = True
            self._head_bytes = 0
            super().on_message_complete()

    return Bounded
