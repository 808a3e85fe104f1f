#include "tls.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pem.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "anchors.h"

extern const struct anchors mozilla;

/* Reads of the socket in one call. Whoever sends records that lead nowhere would otherwise keep mbedTLS busy for ever, and
 * nobody would look at the clock: two reads make a record. */
enum { MOST_READS = 64 };

struct tls {
    int descriptor;
    int reads; /* that are left in this call */
    const char *address; /* an IP address as the name: told to nobody, only compared. NULL: none, or done */
    char *name;          /* what holds it */
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt authorities, certificate;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    char protocol[16];
    const char *protocols[2];
};

static int send_some(void *context, const unsigned char *data, size_t size)
{
    ssize_t sent = send(((struct tls *)context)->descriptor, data, size, MSG_NOSIGNAL);
    if (sent >= 0)
        return (int)sent;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int receive_some(void *context, unsigned char *data, size_t size)
{
    struct tls *tls = context;
    if (!tls->reads)
        return MBEDTLS_ERR_SSL_WANT_READ; /* the caller waits, in vain or not, and looks at the clock */
    tls->reads--;
    ssize_t got = recv(tls->descriptor, data, size, 0);
    if (got >= 0)
        return (int)got;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static void add(struct tls_reason *reason, const char *text)
{
    size_t size = strlen(reason->text);
    strncpy(reason->text + size, text, sizeof reason->text - 1 - size);
    reason->text[sizeof reason->text - 1] = '\0';
}

static void say(struct tls_reason *reason, const char *text)
{
    reason->text[0] = '\0';
    add(reason, text);
}

/* What is wrong with a certificate. mbedTLS's own texts, and printf with them, would be 20,000 bytes. */
static void add_flaws(struct tls_reason *reason, uint32_t flags)
{
    static const struct {
        uint32_t flags;
        const char *words;
    } flaws[] = {
        {MBEDTLS_X509_BADCERT_EXPIRED, "it has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, "it is not valid yet"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "it does not match the server's name"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "it is not correctly signed by the trusted CA"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
         "it is not meant for this use"},
        {MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY,
         "its key or its signature is too weak"},
        {MBEDTLS_X509_BADCERT_MISSING | MBEDTLS_X509_BADCERT_SKIP_VERIFY, "there is none"},
    };
    const char *between = "";
    for (size_t i = 0; i < sizeof flaws / sizeof *flaws; i++)
        if (flags & flaws[i].flags) {
            add(reason, between);
            add(reason, flaws[i].words);
            between = "; ";
            flags &= ~flaws[i].flags;
        }
    if (flags) {
        add(reason, between);
        add(reason, "it cannot be checked");
    }
}

/* What an error of mbedTLS means here. Its low bits say which part of a part failed: they are for its authors. */
static void add_words(struct tls_reason *reason, int code)
{
    static const struct {
        uint16_t from, to;
        const char *words;
    } known[] = {
        {-MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE, 0, "the other side refused it with an alert"},
        {-MBEDTLS_ERR_SSL_INVALID_RECORD, 0, "what came is no TLS"},
        {-MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION, 0, "there is no version of TLS that both sides speak (here: 1.2, 1.3)"},
        {-MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, 0, "there is no cipher or key that both sides take"},
        {-MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL, 0, "there is no protocol that both sides speak (ALPN)"},
        {-MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, 0, "a message came out of turn"},
        {-MBEDTLS_ERR_SSL_UNEXPECTED_RECORD, 0, "a record came out of turn"},
        {-MBEDTLS_ERR_SSL_DECODE_ERROR, 0, "a message cannot be read"},
        {-MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER, 0, "a message contradicts another"},
        {-MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION, 0, "an extension came that nobody asked for"},
        {-MBEDTLS_ERR_SSL_INVALID_MAC, 0, "a record was changed on its way"},
        {-MBEDTLS_ERR_SSL_BAD_CERTIFICATE, 0, "the certificate cannot be used"},
        {-MBEDTLS_ERR_SSL_CONN_EOF, 0, "the connection was closed"},
        {-MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY, 0, "the connection was closed"},
        {-MBEDTLS_ERR_SSL_ALLOC_FAILED, 0, "there is too little memory"},
        {-MBEDTLS_ERR_X509_ALLOC_FAILED, 0, "there is too little memory"},
        {-MBEDTLS_ERR_PK_ALLOC_FAILED, 0, "there is too little memory"},
        {-MBEDTLS_ERR_PK_PASSWORD_REQUIRED, 0, "it is encrypted"},
        {-MBEDTLS_ERR_PEM_PASSWORD_REQUIRED, 0, "it is encrypted"},
        {-MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE, -MBEDTLS_ERR_X509_FATAL_ERROR, "it is no certificate that can be read"},
        {-MBEDTLS_ERR_PEM_NO_HEADER_FOOTER_PRESENT, -MBEDTLS_ERR_PEM_BAD_INPUT_DATA, "it is no PEM that can be read"},
        {-MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE, -MBEDTLS_ERR_PK_TYPE_MISMATCH, "it is no key that can be used"},
    };
    unsigned high = -code & 0xFF80;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (high == known[i].from || (high >= known[i].from && high <= known[i].to)) {
            add(reason, known[i].words);
            return;
        }
    char number[] = "mbedTLS error -0x0000";
    for (size_t at = sizeof number - 2, rest = -code; at > sizeof number - 6; at--, rest >>= 4)
        number[at] = "0123456789ABCDEF"[rest & 15];
    add(reason, number);
}

/* What became of a call: what to wait for, or why it failed. */
static int outcome(struct tls *tls, int code, struct tls_reason *reason)
{
    int error = errno;
    reason->error = 0;
    switch (code) {
    case MBEDTLS_ERR_SSL_WANT_READ: return TLS_WANTS_READ;
    case MBEDTLS_ERR_SSL_WANT_WRITE: return TLS_WANTS_WRITE;
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
        say(reason, "certificate refused: ");
        add_flaws(reason, mbedtls_ssl_get_verify_result(&tls->ssl));
        break;
    default:
        if (code == MBEDTLS_ERR_SSL_INTERNAL_ERROR && error) {
            reason->error = error;
        } else {
            say(reason, "");
            add_words(reason, code);
        }
    }
    return TLS_FAILED;
}

int tls_handshake(struct tls *tls, struct tls_reason *reason)
{
    errno = 0;
    tls->reads = MOST_READS;
    while (!mbedtls_ssl_is_handshake_over(&tls->ssl)) {
        /* A name that is set is sent. So that of an address is set once all is sent that would hold it. */
        if (tls->address && tls->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE) {
            int failed = mbedtls_ssl_set_hostname(&tls->ssl, tls->address);
            if (failed)
                return outcome(tls, failed, reason);
            tls->address = NULL;
        }
        int code = mbedtls_ssl_handshake_step(&tls->ssl);
        if (code)
            return outcome(tls, code, reason);
    }
    return 0;
}

ptrdiff_t tls_read(struct tls *tls, void *data, size_t size, struct tls_reason *reason)
{
    tls->reads = MOST_READS;
    for (;;) {
        errno = 0;
        int code = mbedtls_ssl_read(&tls->ssl, data, size);
        switch (code) {
        case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET: continue; /* TLS 1.3: not an error, not data */
        case MBEDTLS_ERR_SSL_CONN_EOF:
        case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY: return 0;
        default: return code < 0 ? outcome(tls, code, reason) : code;
        }
    }
}

ptrdiff_t tls_write(struct tls *tls, const void *data, size_t size, struct tls_reason *reason)
{
    errno = 0;
    tls->reads = MOST_READS;
    int code = mbedtls_ssl_write(&tls->ssl, data, size);
    return code < 0 ? outcome(tls, code, reason) : code;
}

/* Say what is wrong with `what`. */
static int blame(const char *what, int code, struct tls_reason *reason)
{
    say(reason, what);
    add_words(reason, code);
    return code;
}

static int add_identity(struct tls *tls, const struct tls_wish *wish, struct tls_reason *reason)
{
    int code = mbedtls_x509_crt_parse(&tls->certificate, wish->certificate.data, wish->certificate.size);
    if (code) /* more than 0: that many could not be read, and the server would miss them */
        return blame("the client's certificate: ", code < 0 ? code : MBEDTLS_ERR_X509_INVALID_FORMAT, reason);
    code = mbedtls_pk_parse_key(&tls->key, wish->key.data, wish->key.size, NULL, 0, mbedtls_ctr_drbg_random, &tls->random);
    if (code)
        return blame("the client's key: ", code, reason);
    code = mbedtls_pk_check_pair(&tls->certificate.pk, &tls->key, mbedtls_ctr_drbg_random, &tls->random);
    if (code) {
        say(reason, "the client's key does not fit its certificate");
        return code;
    }
    return mbedtls_ssl_conf_own_cert(&tls->config, &tls->certificate, &tls->key);
}

static int set_up(struct tls *tls, const struct tls_wish *wish, struct tls_reason *reason)
{
    int code;
    if ((code = mbedtls_ctr_drbg_seed(&tls->random, mbedtls_entropy_func, &tls->entropy, NULL, 0)) ||
        (code = mbedtls_ssl_config_defaults(&tls->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                            MBEDTLS_SSL_PRESET_DEFAULT)))
        return code;
    /* mbedTLS would begin with X25519, for which it has no table of its generator: 9 % of a check's instructions. */
    static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                      MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
                                      MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
    mbedtls_ssl_conf_groups(&tls->config, groups);
    mbedtls_ssl_conf_rng(&tls->config, mbedtls_ctr_drbg_random, &tls->random);
    mbedtls_ssl_conf_authmode(&tls->config,
                              wish->insecure ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_REQUIRED);
    if (wish->authorities.size && !wish->insecure) {
        /* More than 0: that many certificates of the file are of a kind we do not know. The others count. */
        code = mbedtls_x509_crt_parse(&tls->authorities, wish->authorities.data, wish->authorities.size);
        if (code < 0)
            return code;
        mbedtls_ssl_conf_ca_chain(&tls->config, &tls->authorities, NULL);
    } else if (!wish->insecure) {
        mbedtls_ssl_conf_ca_cb(&tls->config, find_anchors, (void *)&mozilla);
    }
    if (tls->protocol[0] && (code = mbedtls_ssl_conf_alpn_protocols(&tls->config, tls->protocols)))
        return code;
    if (wish->certificate.size && (code = add_identity(tls, wish, reason)))
        return code;
    if ((code = mbedtls_ssl_setup(&tls->ssl, &tls->config)))
        return code;
    unsigned char packed[16];
    if (inet_pton(AF_INET, wish->name, packed) == 1 || inet_pton(AF_INET6, wish->name, packed) == 1) {
        /* https://www.rfc-editor.org/rfc/rfc6066#section-3: literal addresses are not permitted */
        tls->address = tls->name = strdup(wish->name);
        if (!tls->name)
            return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    } else if ((code = mbedtls_ssl_set_hostname(&tls->ssl, wish->name)))
        return code;
    mbedtls_ssl_set_bio(&tls->ssl, tls, send_some, receive_some, NULL);
    return 0;
}

struct tls *tls_open(const struct tls_wish *wish, struct tls_reason *reason)
{
    *reason = (struct tls_reason){0};
    if (psa_crypto_init() != PSA_SUCCESS) {
        say(reason, "no random numbers: mbedTLS could not start");
        return NULL;
    }
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        reason->error = ENOMEM;
        return NULL;
    }
    tls->descriptor = wish->descriptor;
    strncpy(tls->protocol, wish->protocol, sizeof tls->protocol - 1);
    tls->protocols[0] = tls->protocol;
    mbedtls_ssl_init(&tls->ssl);
    mbedtls_ssl_config_init(&tls->config);
    mbedtls_x509_crt_init(&tls->authorities);
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_pk_init(&tls->key);
    mbedtls_ctr_drbg_init(&tls->random);
    mbedtls_entropy_init(&tls->entropy);
    errno = 0;
    int code = set_up(tls, wish, reason);
    if (code) {
        if (!reason->text[0])
            outcome(tls, code, reason);
        tls_free(tls);
        return NULL;
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    mbedtls_ssl_free(&tls->ssl);
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_x509_crt_free(&tls->authorities);
    mbedtls_x509_crt_free(&tls->certificate);
    mbedtls_pk_free(&tls->key);
    mbedtls_ctr_drbg_free(&tls->random);
    mbedtls_entropy_free(&tls->entropy);
    free(tls->name);
    free(tls);
}

bool tls_has_anchors(void)
{
    return count_anchors(&mozilla) > 0;
}
