/* Written for few bytes. The three have the same frame: blocks of 64 bytes, the last with the length in bits, the state as
 * the result. https://www.rfc-editor.org/rfc/rfc1321 https://www.rfc-editor.org/rfc/rfc6234 */
#include "digest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 64, WORDS = BLOCK / 4, INNER = 0x36, OUTER = 0x5c };

struct kind {
    char name[8];
    unsigned char size;
    bool little; /* the lowest byte comes first */
    const uint32_t *start;
    void (*mix)(uint32_t *state, const uint32_t *words);
};

static uint32_t turned(uint32_t word, unsigned by)
{
    return word << by | word >> (32 - by);
}

static void mix_md5(uint32_t *state, const uint32_t *words)
{
    static const unsigned char turns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    static const uint32_t added[] = {
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
        0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
        0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
        0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
        0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
        0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
        0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
        0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
    };
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (unsigned i = 0; i < 64; i++) {
        uint32_t mixed;
        unsigned from;
        switch (i / 16) {
        case 0: mixed = d ^ (b & (c ^ d)), from = i; break;
        case 1: mixed = c ^ (d & (b ^ c)), from = 5 * i + 1; break;
        case 2: mixed = b ^ c ^ d, from = 3 * i + 5; break;
        default: mixed = c ^ (b | ~d), from = 7 * i;
        }
        mixed += a + added[i] + words[from % WORDS];
        a = d, d = c, c = b, b += turned(mixed, turns[i / 16][i % 4]);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

static void mix_sha1(uint32_t *state, const uint32_t *words)
{
    uint32_t next[WORDS], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    memcpy(next, words, sizeof next);
    for (unsigned i = 0; i < 80; i++) {
        uint32_t mixed;
        switch (i / 20) {
        case 0: mixed = (d ^ (b & (c ^ d))) + 0x5a827999; break;
        case 1: mixed = (b ^ c ^ d) + 0x6ed9eba1; break;
        case 2: mixed = ((b & c) | (d & (b | c))) + 0x8f1bbcdc; break;
        default: mixed = (b ^ c ^ d) + 0xca62c1d6;
        }
        uint32_t *word = &next[i % WORDS];
        mixed += turned(a, 5) + e + *word;
        e = d, d = c, c = turned(b, 30), b = a, a = mixed;
        *word = turned(next[(i + 13) % WORDS] ^ next[(i + 8) % WORDS] ^ next[(i + 2) % WORDS] ^ *word, 1);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

static void mix_sha256(uint32_t *state, const uint32_t *words)
{
    static const uint32_t added[] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    };
    uint32_t next[WORDS], s[8];
    memcpy(next, words, sizeof next);
    memcpy(s, state, sizeof s);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t *word = &next[i % WORDS];
        uint32_t mixed = s[7] + (turned(s[4], 26) ^ turned(s[4], 21) ^ turned(s[4], 7)) +
                         (s[6] ^ (s[4] & (s[5] ^ s[6]))) + added[i] + *word;
        uint32_t more = (turned(s[0], 30) ^ turned(s[0], 19) ^ turned(s[0], 10)) +
                        ((s[0] & s[1]) | (s[2] & (s[0] | s[1])));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += mixed;
        s[0] = mixed + more;
        uint32_t early = next[(i + 1) % WORDS], late = next[(i + 14) % WORDS];
        *word += (turned(early, 25) ^ turned(early, 14) ^ early >> 3) + next[(i + 9) % WORDS] +
                 (turned(late, 15) ^ turned(late, 13) ^ late >> 10);
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += s[i];
}

static const uint32_t older[] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
static const uint32_t newer[] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const struct kind kinds[] = {
    {"md5", 16, true, older, mix_md5},
    {"sha1", 20, false, older, mix_sha1},
    {"sha256", 32, false, newer, mix_sha256},
};
static const struct kind *const sha256 = &kinds[2];

static void begin(const struct kind *kind, uint32_t *state)
{
    memcpy(state, kind->start, kind->size);
}

static void take_block(const struct kind *kind, uint32_t *state, const unsigned char *block)
{
    uint32_t words[WORDS] = {0};
    for (unsigned i = 0; i < BLOCK; i++)
        words[i / 4] |= (uint32_t)block[i] << (kind->little ? i : 3 - i % 4) % 4 * 8;
    kind->mix(state, words);
}

/* The rest of the data, behind `before` bytes in whole blocks. */
static void finish(const struct kind *kind, uint32_t *state, const unsigned char *data, size_t size, size_t before,
                   unsigned char *out)
{
    uint64_t bits = ((uint64_t)before + size) * 8;
    for (; size >= BLOCK; data += BLOCK, size -= BLOCK)
        take_block(kind, state, data);
    unsigned char last[2 * BLOCK] = {0};
    size_t end = size < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    if (size)
        memcpy(last, data, size);
    last[size] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        last[end - 8 + i] = (unsigned char)(bits >> (kind->little ? i : 7 - i) * 8);
    for (size_t at = 0; at < end; at += BLOCK)
        take_block(kind, state, last + at);
    for (unsigned i = 0; i < kind->size; i++)
        out[i] = (unsigned char)(state[i / 4] >> (kind->little ? i : 3 - i % 4) % 4 * 8);
}

static void digest_whole(const struct kind *kind, const void *data, size_t size, unsigned char *out)
{
    uint32_t state[8];
    begin(kind, state);
    finish(kind, state, data, size, 0, out);
}

size_t make_digest(const char *name, const void *data, size_t size, unsigned char out[LARGEST_DIGEST])
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, name)) {
            digest_whole(&kinds[i], data, size, out);
            return kinds[i].size;
        }
    return 0;
}

/* The state behind the block that the key makes. */
static void take_key(uint32_t *state, const unsigned char *key, unsigned char pad)
{
    unsigned char block[BLOCK];
    for (unsigned i = 0; i < BLOCK; i++)
        block[i] = key[i] ^ pad;
    begin(sha256, state);
    take_block(sha256, state, block);
}

/* https://www.rfc-editor.org/rfc/rfc2104 */
void repeat_hmac(const void *key, size_t key_size, const void *data, size_t size, unsigned long rounds,
                 unsigned char out[2 * LARGEST_DIGEST])
{
    unsigned char whole_key[BLOCK] = {0}, *sum = out + LARGEST_DIGEST;
    if (key_size > BLOCK)
        digest_whole(sha256, key, key_size, whole_key);
    else if (key_size)
        memcpy(whole_key, key, key_size);
    uint32_t inner[8], outer[8], state[8];
    take_key(inner, whole_key, INNER);
    take_key(outer, whole_key, OUTER);
    memset(sum, 0, LARGEST_DIGEST);
    do {
        memcpy(state, inner, sizeof state);
        finish(sha256, state, data, size, BLOCK, out);
        memcpy(state, outer, sizeof state);
        finish(sha256, state, out, LARGEST_DIGEST, BLOCK, out);
        for (unsigned i = 0; i < LARGEST_DIGEST; i++)
            sum[i] ^= out[i];
        data = out, size = LARGEST_DIGEST;
    } while (rounds-- > 1);
}
