/* Trust anchors in the form that is built in: of each certificate what a check of a chain asks for, and no more (RFC 5280,
 * section 6.1.1 d). Numbers are big-endian. Nothing is aligned, nothing depends on the target.
 *
 *   8 bytes   "ANCHORS" and the version of this form, 1
 *   2 bytes   how many there are: N
 *   N times   4 bytes of index, by ascending hash:
 *             2 bytes   hash_name() of the subject
 *             2 bytes   length of the anchor's record
 *   N times   the record, in the order of the index:
 *             7 bytes   notBefore: YYYYMMDDHHMMSS in UTC, a decimal digit in each half of a byte
 *             7 bytes   notAfter, the same
 *             DER       subject: a Name
 *             DER       SubjectPublicKeyInfo
 *             1 byte    how many intermediates may follow below it; left out when nothing limits that
 *
 * A subject can be there more than once, with different keys or dates. What comes after the last record means nothing. */
#ifndef FROMSCRATCH_ANCHORS_FORMAT_H
#define FROMSCRATCH_ANCHORS_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define ANCHORS_MAGIC "ANCHORS\1"
enum { MAGIC_SIZE = 8, HEAD_SIZE = 10, ENTRY_SIZE = 4, DATE_SIZE = 7 };

/* Of a Name in DER, tag and length included: FNV-1a, folded to 16 bits. Names that mbedTLS takes for the same one have the
 * same hash: they may differ in the case of letters, and in PrintableString and UTF8String. Others may share it, too. */
static inline unsigned hash_name(const unsigned char *name, size_t size)
{
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = name[i];
        if (byte >= 'A' && byte <= 'Z')
            byte |= 0x20;
        else if (byte == 0x0C) /* UTF8String ... */
            byte = 0x13;       /* ... PrintableString */
        hash = (hash ^ byte) * 16777619;
    }
    return (hash >> 16 ^ hash) & 0xFFFF;
}

#endif
