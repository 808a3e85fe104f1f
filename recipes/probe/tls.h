/* TLS for the probe: mbedTLS under five functions, for whichever Python is bound to them. No protocol, and no policy beyond
 * "check the certificate". https://mbed-tls.readthedocs.io/projects/api/en/v3.6.7/ */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>

/* What the functions return that is no success. */
enum { TLS_WANTS_READ = -1, TLS_WANTS_WRITE = -2, TLS_FAILED = -3 };

/* Why: what the system said (errno), or else mbedTLS or the check of the certificate, in one line. */
struct tls_reason {
    int error;
    char text[512];
};

/* PEM ends with a NUL that its size counts, as mbedTLS wants it. */
struct tls_pem {
    const unsigned char *data;
    size_t size; /* 0: none */
};

struct tls_wish {
    int descriptor;             /* a connected socket that does not block; it stays the caller's */
    const char *name;           /* whom the certificate must be for */
    struct tls_pem authorities; /* whom to trust; none: the anchors inside */
    bool insecure;              /* trust whoever answers */
    const char *protocol;       /* what ALPN must agree on; "": nothing is asked */
    struct tls_pem certificate; /* our own, with those between it and its authority; none: no such */
    struct tls_pem key;         /* its key, not encrypted */
};

struct tls;

/* NULL: failed. Nothing is sent yet. */
struct tls *tls_open(const struct tls_wish *wish, struct tls_reason *reason);

/* 0: done. */
int tls_handshake(struct tls *tls, struct tls_reason *reason);

/* The number of bytes; of a read 0 is the end. */
ptrdiff_t tls_read(struct tls *tls, void *data, size_t size, struct tls_reason *reason);
ptrdiff_t tls_write(struct tls *tls, const void *data, size_t size, struct tls_reason *reason);

void tls_free(struct tls *tls);

/* Whether anchors are built in. */
bool tls_has_anchors(void);

#endif
