/* Peer of the DTMF bench: spandsp's detector and the speech codecs, behind a pipe, so that the product never links them.
 *
 * Requests: an octet that says what, a little-endian 32-bit count, data. Samples are 16 bits, 8 kHz.
 *   R 0                          forget; no reply
 *   C packets (lost, 160 samples)...   reply: 32-bit count, (digit octet, 32-bit sample position since R)..., CPU seconds as a double
 *   g 7 o s a samples            reply: count and samples through GSM full rate, G.726 at 32 kbit/s, Opus, Speex, AMR
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <opencore-amrnb/interf_dec.h>
#include <opencore-amrnb/interf_enc.h>
#include <opus/opus.h>
#include <spandsp.h>
#include <speex/speex.h>

enum { PACKET = 160, AMR_OCTETS_MAX = 64, CODED_MAX = 1500 };

static void take(void *to, size_t octets)
{
    if (fread(to, 1, octets, stdin) != octets)
        exit(0);
}

static void give(const void *from, size_t octets)
{
    if (fwrite(from, 1, octets, stdout) != octets)
        exit(1);
}

static void fail(const char *what)
{
    fprintf(stderr, "peer: %s\n", what);
    exit(1);
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static dtmf_rx_state_t *receiver;
static uint32_t position;

static void detect(uint32_t packets)
{
    uint8_t *digits = malloc(packets * 4 + 4);
    uint32_t *places = malloc((packets * 4 + 4) * sizeof *places);
    struct { uint8_t lost; int16_t samples[PACKET]; } *input = malloc((packets + 1) * sizeof *input);
    uint32_t count = 0;
    for (uint32_t n = 0; n < packets; n++) {
        take(&input[n].lost, 1);
        take(input[n].samples, sizeof input[n].samples);
    }
    double start = cpu_seconds();
    for (uint32_t n = 0; n < packets; n++) {
        char heard[5];
        if (input[n].lost)
            dtmf_rx_fillin(receiver, PACKET);
        else
            dtmf_rx(receiver, input[n].samples, PACKET);
        position += PACKET;
        size_t got = dtmf_rx_get(receiver, heard, 4);
        for (size_t k = 0; k < got; k++, count++) {
            digits[count] = heard[k];
            places[count] = position;
        }
    }
    double spent = cpu_seconds() - start;
    give(&count, 4);
    for (uint32_t n = 0; n < count; n++) {
        give(&digits[n], 1);
        give(&places[n], 4);
    }
    give(&spent, sizeof spent);
    free(digits);
    free(places);
    free(input);
}

static void through_gsm(int16_t *pcm, uint32_t packets)
{
    gsm0610_state_t *encoder = gsm0610_init(NULL, GSM0610_PACKING_VOIP), *decoder = gsm0610_init(NULL, GSM0610_PACKING_VOIP);
    for (uint32_t n = 0; n < packets; n++) {
        uint8_t coded[CODED_MAX];
        int octets = gsm0610_encode(encoder, coded, pcm + n * PACKET, PACKET);
        gsm0610_decode(decoder, pcm + n * PACKET, coded, octets);
    }
    gsm0610_free(encoder);
    gsm0610_free(decoder);
}

static void through_g726(int16_t *pcm, uint32_t packets)
{
    g726_state_t *encoder = g726_init(NULL, 32000, G726_ENCODING_LINEAR, G726_PACKING_NONE);
    g726_state_t *decoder = g726_init(NULL, 32000, G726_ENCODING_LINEAR, G726_PACKING_NONE);
    for (uint32_t n = 0; n < packets; n++) {
        uint8_t coded[CODED_MAX];
        int octets = g726_encode(encoder, coded, pcm + n * PACKET, PACKET);
        g726_decode(decoder, pcm + n * PACKET, coded, octets);
    }
    g726_free(encoder);
    g726_free(decoder);
}

static void through_opus(int16_t *pcm, uint32_t packets)
{
    int error;
    OpusEncoder *encoder = opus_encoder_create(8000, 1, OPUS_APPLICATION_VOIP, &error);
    OpusDecoder *decoder = opus_decoder_create(8000, 1, &error);
    if (!encoder || !decoder)
        fail("no Opus");
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(16000));
    for (uint32_t n = 0; n < packets; n++) {
        uint8_t coded[CODED_MAX];
        int octets = opus_encode(encoder, pcm + n * PACKET, PACKET, coded, sizeof coded);
        if (opus_decode(decoder, coded, octets, pcm + n * PACKET, PACKET, 0) != PACKET)
            fail("Opus gave no packet");
    }
    opus_encoder_destroy(encoder);
    opus_decoder_destroy(decoder);
}

static void through_speex(int16_t *pcm, uint32_t packets)
{
    void *encoder = speex_encoder_init(&speex_nb_mode), *decoder = speex_decoder_init(&speex_nb_mode);
    int quality = 8, no = 0;
    speex_encoder_ctl(encoder, SPEEX_SET_QUALITY, &quality);
    speex_decoder_ctl(decoder, SPEEX_SET_ENH, &no);
    SpeexBits bits;
    speex_bits_init(&bits);
    for (uint32_t n = 0; n < packets; n++) {
        char coded[CODED_MAX];
        speex_bits_reset(&bits);
        speex_encode_int(encoder, pcm + n * PACKET, &bits);
        int octets = speex_bits_write(&bits, coded, sizeof coded);
        speex_bits_read_from(&bits, coded, octets);
        speex_decode_int(decoder, &bits, pcm + n * PACKET);
    }
    speex_bits_destroy(&bits);
    speex_encoder_destroy(encoder);
    speex_decoder_destroy(decoder);
}

static void through_amr(int16_t *pcm, uint32_t packets)
{
    void *encoder = Encoder_Interface_init(0), *decoder = Decoder_Interface_init();
    for (uint32_t n = 0; n < packets; n++) {
        uint8_t coded[AMR_OCTETS_MAX];
        Encoder_Interface_Encode(encoder, MR122, pcm + n * PACKET, coded, 0);
        Decoder_Interface_Decode(decoder, coded, pcm + n * PACKET, 0);
    }
    Encoder_Interface_exit(encoder);
    Decoder_Interface_exit(decoder);
}

static void transcode(uint8_t what, uint32_t samples)
{
    uint32_t packets = (samples + PACKET - 1) / PACKET;
    int16_t *pcm = calloc((packets + 1) * PACKET, sizeof *pcm);
    take(pcm, samples * sizeof *pcm);
    switch (what) {
    case 'g': through_gsm(pcm, packets); break;
    case '7': through_g726(pcm, packets); break;
    case 'o': through_opus(pcm, packets); break;
    case 's': through_speex(pcm, packets); break;
    case 'a': through_amr(pcm, packets); break;
    default: fail("expected R, C, g, 7, o, s or a");
    }
    give(&samples, 4);
    give(pcm, samples * sizeof *pcm);
    free(pcm);
}

int main(void)
{
    for (;;) {
        uint8_t what;
        uint32_t count;
        take(&what, 1);
        take(&count, 4);
        if (what == 'R') {
            if (receiver)
                dtmf_rx_free(receiver);
            receiver = dtmf_rx_init(NULL, NULL, NULL);
            position = 0;
        } else {
            if (what == 'C')
                detect(count);
            else
                transcode(what, count);
            fflush(stdout);
        }
    }
}
