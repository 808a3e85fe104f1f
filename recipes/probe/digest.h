/* Digests, for logins: MD5, SHA-1, SHA-256, and HMAC with the last. For whichever Python is bound to them. */
#ifndef DIGEST_H
#define DIGEST_H

#include <stddef.h>

enum { LARGEST_DIGEST = 32 };

/* "md5", "sha1", "sha256"; returns the digest's size, or 0 when there is none of this name. */
size_t make_digest(const char *name, const void *data, size_t size, unsigned char out[LARGEST_DIGEST]);

/* HMAC-SHA-256 of the data, then of the result, and so on, that many times, but once at least. The last one is returned,
 * and behind it the XOR of all: so PBKDF2 can be made in pieces. https://www.rfc-editor.org/rfc/rfc8018#section-5.2 */
void repeat_hmac(const void *key, size_t key_size, const void *data, size_t size, unsigned long rounds,
                 unsigned char out[2 * LARGEST_DIGEST]);

#endif
