/* Read the table that format.h describes, and make certificates of its records: for every TLS library alike, and without one.
 *
 * What a library gets is a certificate, made of what an anchor has: version 3, subject and issuer, dates and key, and basic
 * constraints that make it a CA, with the path length it had. It has no signature and is not the bytes of the root it stands
 * for. Nothing here takes memory. A damaged table ends where the damage is. */
#ifndef FROMSCRATCH_ANCHORS_RECORDS_H
#define FROMSCRATCH_ANCHORS_RECORDS_H

#include "format.h"

#include <stdbool.h>
#include <string.h>

/* Bytes in the form that format.h describes. */
struct anchors {
    const unsigned char *data;
    size_t size;
};

/* A place in the table, and the record that is there. */
struct anchor_walk {
    const unsigned char *entry, *next, *end;
    size_t left;
    const unsigned char *record;
    size_t size;
};

enum { ANY_HASH = -1, DER_SEQUENCE = 0x30, DER_TIME = 0x18, LONG_HEAD = 4, DIGITS = 14, CERTIFICATE_BYTES = 160 };

static inline size_t get16(const unsigned char *at)
{
    return (size_t)(at[0] << 8 | at[1]);
}

/* How many there are; 0 when the bytes are of another form. */
static inline size_t count_anchors(const struct anchors *anchors)
{
    if (anchors->size < HEAD_SIZE || memcmp(anchors->data, ANCHORS_MAGIC, MAGIC_SIZE))
        return 0;
    size_t count = get16(anchors->data + MAGIC_SIZE);
    return HEAD_SIZE + count * ENTRY_SIZE <= anchors->size ? count : 0;
}

static inline struct anchor_walk start_walk(const struct anchors *anchors)
{
    struct anchor_walk walk = {.left = count_anchors(anchors)};
    if (walk.left) {
        walk.entry = anchors->data + HEAD_SIZE;
        walk.next = walk.entry + walk.left * ENTRY_SIZE;
        walk.end = anchors->data + anchors->size;
    }
    return walk;
}

/* Go to the next record whose subject has this hash: there are about a hundred, and only lengths are read of the others. */
static inline bool next_record(struct anchor_walk *walk, int hash)
{
    while (walk->left) {
        bool fits = hash == ANY_HASH || get16(walk->entry) == (size_t)hash;
        walk->record = walk->next;
        walk->size = get16(walk->entry + 2);
        if (walk->size > (size_t)(walk->end - walk->record))
            return false;
        walk->next += walk->size;
        walk->entry += ENTRY_SIZE;
        walk->left--;
        if (fits)
            return true;
    }
    return false;
}

/* The end of a sequence in DER, or NULL. */
static inline const unsigned char *skip_sequence(const unsigned char *at, const unsigned char *end)
{
    if (end - at < 2 || at[0] != DER_SEQUENCE)
        return NULL;
    size_t size = at[1], more = size & 0x80 ? size & 0x7F : 0;
    at += 2;
    if (more > 2 || (size & 0x80 && !more) || (size_t)(end - at) < more)
        return NULL;
    for (size = more ? 0 : size; more; more--)
        size = size << 8 | *at++;
    return size > (size_t)(end - at) ? NULL : at + size;
}

static inline unsigned char *put_bytes(unsigned char *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

/* The head of a sequence that ends at `end`. */
static inline void put_head(unsigned char *at, const unsigned char *end)
{
    size_t size = (size_t)(end - at) - LONG_HEAD;
    put_bytes(at, (unsigned char[]){DER_SEQUENCE, 0x82, (unsigned char)(size >> 8), (unsigned char)size}, LONG_HEAD);
}

static inline unsigned char *put_date(unsigned char *at, const unsigned char *date)
{
    *at++ = DER_TIME;
    *at++ = DIGITS + 1;
    for (int i = 0; i < DIGITS; i++)
        *at++ = '0' + (date[i / 2] >> (i % 2 ? 0 : 4) & 0x0F);
    *at++ = 'Z';
    return at;
}

/* How much place the certificate of the record needs. */
static inline size_t certificate_space(const struct anchor_walk *walk)
{
    return 2 * walk->size + CERTIFICATE_BYTES;
}

/* Write the certificate of the record, and return its size; 0 when the record is damaged. */
static inline size_t make_certificate(unsigned char *der, const struct anchor_walk *walk)
{
    /* What of a certificate is the same in all of them. Nobody checks an anchor's signature: the shortest that can be read. */
    static const unsigned char start[] = {0xA0, 3, 2, 1, 2 /* version 3 */, 2, 1, 1 /* serial number */};
    static const unsigned char algorithm[] = {0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2}; /* ecdsa-with-SHA256 */
    static const unsigned char signature[] = {3, 1, 0};
    /* Extensions: the basic constraints alone, with cA true, and in the second with a path length, its last byte. */
    static const unsigned char any_path[] = {0xA3, 16, 0x30, 14, 0x30, 12, 6, 3, 0x55, 0x1D, 0x13, 4, 5, 0x30, 3, 1, 1, 0xFF};
    static const unsigned char short_path[] = {0xA3, 19, 0x30, 17, 0x30, 15,   6, 3, 0x55, 0x1D, 0x13,
                                               4,    8,  0x30, 6,  1,    1, 0xFF, 2, 1,    0};
    _Static_assert(CERTIFICATE_BYTES >= 2 * LONG_HEAD + sizeof start + 2 * sizeof algorithm + 2 + 2 * (2 + DIGITS + 1) +
                                            sizeof short_path + sizeof signature,
                   "as much as all of it");
    const unsigned char *record = walk->record, *end = record + walk->size, *subject = record + 2 * DATE_SIZE;
    const unsigned char *key = walk->size < 2 * DATE_SIZE ? NULL : skip_sequence(subject, end);
    const unsigned char *key_end = key ? skip_sequence(key, end) : NULL;
    if (!key_end)
        return 0;
    unsigned char *body = der + LONG_HEAD, *at = body + LONG_HEAD;
    at = put_bytes(at, start, sizeof start);
    at = put_bytes(at, algorithm, sizeof algorithm);
    at = put_bytes(at, subject, (size_t)(key - subject)); /* as issuer */
    at = put_bytes(at, (unsigned char[]){DER_SEQUENCE, 2 * (2 + DIGITS + 1)}, 2);
    at = put_date(at, record);
    at = put_date(at, record + DATE_SIZE);
    at = put_bytes(at, subject, (size_t)(key_end - subject)); /* and the key */
    if (key_end == end) {
        at = put_bytes(at, any_path, sizeof any_path);
    } else {
        at = put_bytes(at, short_path, sizeof short_path);
        at[-1] = *key_end;
    }
    put_head(body, at);
    at = put_bytes(at, algorithm, sizeof algorithm);
    at = put_bytes(at, signature, sizeof signature);
    put_head(der, at);
    return (size_t)(at - der);
}

#endif
