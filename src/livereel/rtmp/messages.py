"""Message types (RTMP specification 1.0, sections 5.4, 6.2 and 7.1) and the chunk streams we answer on."""

from typing import Final

SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
ACKNOWLEDGEMENT: Final = 3
USER_CONTROL: Final = 4
WINDOW_ACK_SIZE: Final = 5
SET_PEER_BANDWIDTH: Final = 6
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
COMMAND_AMF3: Final = 17
DATA: Final = 18
COMMAND: Final = 20
AGGREGATE: Final = 22

# User control events (section 7.1.7).
STREAM_BEGIN: Final = 0
PING_REQUEST: Final = 6
PING_RESPONSE: Final = 7

CONTROL_CHUNK_STREAM: Final = 2  # required by section 5.4
COMMAND_CHUNK_STREAM: Final = 3  # by convention of all clients
STATUS_CHUNK_STREAM: Final = 5
