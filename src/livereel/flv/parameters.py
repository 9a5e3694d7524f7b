"""Picture sizes from codec configuration records: avcC, hvcC and av1C.

Each function takes the record (ISO/IEC 14496-15; AV1 in ISOBMFF section 2.3), returns (width, height) in pixels after
cropping, and raises FlvError or IndexError when it is damaged.
"""

from typing import Final

from livereel.flv.bits import BitReader, without_emulation_prevention
from livereel.flv.tags import FlvError

_NAL_MAX: Final = (
    512  # bytes looked at; with scaling lists a parameter set has 300. The reader's cost is quadratic in it
)
_ORDER_CYCLE_MAX: Final = 255  # ITU-T H.264 section 7.4.2.1.1; else a few bytes could ask for 4 G numbers
_HEVC_SPS: Final = 33
_AV1_SEQUENCE_HEADER: Final = 1
# Profiles whose SPS carries the chroma format (ITU-T H.264 section 7.3.2.1.1).
_AVC_HIGH_PROFILES: Final = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_MONOCHROME, _CHROMA_420, _CHROMA_422, _CHROMA_444 = range(4)


def avc_size(record: bytes) -> tuple[int, int]:
    """Size from the first SPS of an AVCDecoderConfigurationRecord."""
    if not record[5] & 0x1F:
        raise FlvError("avcC without SPS")
    length = record[6] << 8 | record[7]
    return _avc_sps(record[8 : 8 + min(length, _NAL_MAX)])


def hevc_size(record: bytes) -> tuple[int, int]:
    """Size from the first SPS of an HEVCDecoderConfigurationRecord."""
    at = 23
    for _ in range(record[22]):
        kind = record[at] & 0x3F
        count = record[at + 1] << 8 | record[at + 2]
        at += 3
        for _ in range(count):
            length = record[at] << 8 | record[at + 1]
            if kind == _HEVC_SPS:
                return _hevc_sps(record[at + 2 : at + 2 + min(length, _NAL_MAX)])
            at += 2 + length
    raise FlvError("hvcC without SPS")


def av1_size(record: bytes) -> tuple[int, int]:
    """Size from the sequence header OBU of an AV1CodecConfigurationRecord."""
    at = 4
    while True:
        head = record[at]
        at += 2 if head & 0x04 else 1  # an extension byte may follow
        size = len(record) - at
        if head & 0x02:
            size, at = _leb128(record, at)
        if head >> 3 & 0x0F == _AV1_SEQUENCE_HEADER:
            return _av1_sequence_header(record[at : at + min(size, _NAL_MAX)])
        at += size


def _avc_sps(nal: bytes) -> tuple[int, int]:
    bits = BitReader(without_emulation_prevention(nal)[1:])
    profile = bits.read(8)
    bits.skip(16)
    bits.ue()
    chroma = _CHROMA_420
    separate_planes = False
    if profile in _AVC_HIGH_PROFILES:
        chroma = bits.ue()
        if chroma == _CHROMA_444:
            separate_planes = bits.flag()
        bits.ue()
        bits.ue()
        bits.skip(1)
        if bits.flag():
            for index in range(12 if chroma == _CHROMA_444 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        cycle = bits.ue()
        if cycle > _ORDER_CYCLE_MAX:
            raise FlvError(f"a picture order cycle of {cycle}")
        for _ in range(cycle):
            bits.se()
    bits.ue()
    bits.skip(1)
    width = (bits.ue() + 1) * 16
    height = bits.ue() + 1
    frames_only = bits.flag()
    height *= 16 if frames_only else 32
    if not frames_only:
        bits.skip(1)
    bits.skip(1)
    if bits.flag():
        unit_x, unit_y = _crop_units(_MONOCHROME if separate_planes else chroma)
        unit_y *= 1 if frames_only else 2
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= unit_x * (left + right)
        height -= unit_y * (top + bottom)
    return _checked(width, height)


def _skip_scaling_list(bits: BitReader, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _hevc_sps(nal: bytes) -> tuple[int, int]:
    bits = BitReader(without_emulation_prevention(nal)[2:])
    bits.skip(4)
    sub_layers = bits.read(3)
    bits.skip(1)
    _skip_profile_tier_level(bits, sub_layers)
    bits.ue()
    chroma = bits.ue()
    if chroma == _CHROMA_444 and bits.flag():
        chroma = _MONOCHROME
    width = bits.ue()
    height = bits.ue()
    if bits.flag():
        unit_x, unit_y = _crop_units(chroma)
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= unit_x * (left + right)
        height -= unit_y * (top + bottom)
    return _checked(width, height)


def _skip_profile_tier_level(bits: BitReader, sub_layers: int) -> None:
    bits.skip(96)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.skip(2 * (8 - sub_layers))
    for profile, level in present:
        bits.skip(88 * profile + 8 * level)


def _crop_units(chroma: int) -> tuple[int, int]:
    return {_CHROMA_420: (2, 2), _CHROMA_422: (2, 1)}.get(chroma, (1, 1))


def _av1_sequence_header(data: bytes) -> tuple[int, int]:
    """AV1 specification section 5.5.1, up to the frame size."""
    bits = BitReader(data)
    bits.skip(4)
    if bits.flag():
        bits.skip(5)
    else:
        _skip_av1_operating_points(bits)
    width_bits = bits.read(4) + 1
    height_bits = bits.read(4) + 1
    return _checked(bits.read(width_bits) + 1, bits.read(height_bits) + 1)


def _skip_av1_operating_points(bits: BitReader) -> None:
    decoder_model = False
    delay_bits = 0
    if bits.flag():
        bits.skip(64)
        if bits.flag():
            bits.ue()
        decoder_model = bits.flag()
        if decoder_model:
            delay_bits = bits.read(5) + 1
            bits.skip(42)
    display_delay = bits.flag()
    for _ in range(bits.read(5) + 1):
        bits.skip(12)
        if bits.read(5) > 7:
            bits.skip(1)
        if decoder_model and bits.flag():
            bits.skip(2 * delay_bits + 1)
        if display_delay and bits.flag():
            bits.skip(4)


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 56, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise FlvError("leb128 number longer than 8 bytes")


def _checked(width: int, height: int) -> tuple[int, int]:
    if not (0 < width < 0x10000 and 0 < height < 0x10000):
        raise FlvError(f"picture size {width}x{height}")
    return width, height
