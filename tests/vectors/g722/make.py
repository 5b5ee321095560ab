"""Makes the vectors beside it with two G.722 codecs that are not ours: FFmpeg's (by PyAV: pip install av) and spandsp's
(narrow.c: gcc narrow.c -o narrow -lspandsp -lm). Run it here: python3 make.py ./narrow"""
import math
import struct
import subprocess
import sys

import av

SAMPLES = 8000


def noise():
    state = 1
    while True:
        state = (state * 1103515245 + 12345) % 2**31
        yield state >> 16


def signal():
    """16 kHz: a sweep that swells, the tones of #, full-scale noise, silence, then a faint tone."""
    values = noise()
    for n in range(SAMPLES):
        t = n / 16000
        if n < 3200:
            value = 20000 * (n / 3200) * math.sin(2 * math.pi * (60 * t + 17000 * t * t))
        elif n < 5600:
            value = 7000 * (math.sin(2 * math.pi * 941 * t) + math.sin(2 * math.pi * 1477 * t))
        elif n < 6200:
            value = next(values) * 2 - 32768
        elif n < 7000:
            value = 0
        else:
            value = 150 * math.sin(2 * math.pi * 440 * t)
        yield max(-32768, min(32767, int(value)))


def context(mode):
    context = av.CodecContext.create("g722", mode)
    context.sample_rate, context.layout = 16000, "mono"
    if mode == "w":
        context.format = "s16"
    return context


def encode(pcm):
    encoder, octets = context("w"), b""
    for at in range(0, len(pcm), 640):
        frame = av.AudioFrame(format="s16", layout="mono", samples=320)
        frame.sample_rate, frame.pts = 16000, at // 2
        piece = pcm[at : at + 640]
        frame.planes[0].update(piece.ljust(frame.planes[0].buffer_size, b"\0"))
        octets += b"".join(bytes(packet) for packet in encoder.encode(frame))
    return octets


def decode(octets):
    decoder, pcm = context("r"), b""
    for at in range(0, len(octets), 160):
        for frame in decoder.decode(av.Packet(octets[at : at + 160])):
            pcm += bytes(frame.planes[0])[: frame.samples * 2]
    return pcm


def write(name, content):
    with open(name, "wb") as file:
        file.write(content)


pcm = struct.pack(f"<{SAMPLES}h", *signal())
octets = bytes(value & 255 for value, _ in zip(noise(), range(3200)))
spandsp = lambda mode, given: subprocess.run([sys.argv[1], mode], input=given, stdout=subprocess.PIPE, check=True).stdout
write("signal.s16", pcm)
write("signal.g722", encode(pcm))
write("octets.g722", octets)
write("octets.s16", decode(octets))
write("signal-narrow.g722", spandsp("encode", pcm))
write("octets-narrow.s16", spandsp("decode", octets))
