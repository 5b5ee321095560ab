/* spandsp's G.722 between octets and 8 kHz: ./narrow encode|decode < in > out. */
#include <spandsp.h>
#include <stdio.h>

int main(int count, char **words)
{
    static int16_t pcm[100000];
    static uint8_t octets[100000];

    if (count == 2 && words[1][0] == 'e') {
        int read = fread(pcm, 2, 100000, stdin);
        g722_encode_state_t *state = g722_encode_init(NULL, 64000, G722_SAMPLE_RATE_8000);
        fwrite(octets, 1, g722_encode(state, octets, pcm, read), stdout);
    } else {
        int read = fread(octets, 1, 100000, stdin);
        g722_decode_state_t *state = g722_decode_init(NULL, 64000, G722_SAMPLE_RATE_8000);
        fwrite(pcm, 2, g722_decode(state, pcm, octets, read), stdout);
    }
    return 0;
}
