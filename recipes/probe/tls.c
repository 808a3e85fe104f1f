/* _tls: the probe's TLS, mbedTLS under five Python names. Glue only: no protocol, no policy beyond "check the certificate".
 *
 *   wrap(fd, server_name, ca_pem, insecure, alpn=b"") -> session     on a connected, non-blocking socket
 *   session.handshake() -> 0 done, 1 wants to read, 2 wants to write
 *   session.read(size)  -> bytes (b"" at the end), or 1 or 2 as above
 *   session.write(data) -> count of bytes, or -1 wants to read, -2 wants to write
 *   BUNDLE              -> True when CA certificates are built in
 *
 * Failures are ValueError (certificates, protocol) or OSError (the socket), with mbedTLS's own words.
 * https://mbed-tls.readthedocs.io/projects/api/en/v3.6.7/ */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include <errno.h>
#include <sys/socket.h>

extern const unsigned char ca_bundle[];
extern const size_t ca_bundle_size; /* with the NUL that PEM wants at its end; 0: no bundle */

enum { WANTS_READ = 1, WANTS_WRITE = 2, LONGEST_READ = 16384 };

typedef struct {
    PyObject_HEAD
    int fd;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt authorities;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    char alpn[16];
    const char *protocols[2];
} Session;

static PyTypeObject SessionType;

static int send_some(void *context, const unsigned char *data, size_t size)
{
    ssize_t sent = send(((Session *)context)->fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0)
        return (int)sent;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int receive_some(void *context, unsigned char *data, size_t size)
{
    ssize_t got = recv(((Session *)context)->fd, data, size, 0);
    if (got >= 0)
        return (int)got;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* The reason in words: what is wrong with the certificate, what the socket said, what mbedTLS says. */
static PyObject *failed(Session *self, int code)
{
    char text[512] = "";
    if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        mbedtls_x509_crt_verify_info(text, sizeof text, "", mbedtls_ssl_get_verify_result(&self->ssl));
        for (char *at = text; *at; at++) /* one line, as the probe prints one */
            if (*at == '\n')
                *at = at[1] ? ' ' : '\0';
        PyErr_Format(PyExc_ValueError, "certificate refused: %s", text);
    } else if (code == MBEDTLS_ERR_SSL_INTERNAL_ERROR && errno) {
        PyErr_SetFromErrno(PyExc_OSError);
    } else if (code == MBEDTLS_ERR_SSL_CONN_EOF) {
        PyErr_SetString(PyExc_ValueError, "the connection was closed");
    } else {
        mbedtls_strerror(code, text, sizeof text);
        PyErr_Format(PyExc_ValueError, "%s", text);
    }
    return NULL;
}

static PyObject *handshake(Session *self, PyObject *Py_UNUSED(none))
{
    errno = 0;
    int code = mbedtls_ssl_handshake(&self->ssl);
    switch (code) {
    case 0: return PyLong_FromLong(0);
    case MBEDTLS_ERR_SSL_WANT_READ: return PyLong_FromLong(WANTS_READ);
    case MBEDTLS_ERR_SSL_WANT_WRITE: return PyLong_FromLong(WANTS_WRITE);
    default: return failed(self, code);
    }
}

static PyObject *read_some(Session *self, PyObject *argument)
{
    unsigned char data[LONGEST_READ];
    size_t size = PyLong_AsSize_t(argument);
    if (PyErr_Occurred())
        return NULL;
    for (;;) {
        errno = 0;
        int code = mbedtls_ssl_read(&self->ssl, data, size < sizeof data ? size : sizeof data);
        if (code >= 0)
            return PyBytes_FromStringAndSize((char *)data, code);
        switch (code) {
        case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET: continue; /* TLS 1.3: not an error, not data */
        case MBEDTLS_ERR_SSL_WANT_READ: return PyLong_FromLong(WANTS_READ);
        case MBEDTLS_ERR_SSL_WANT_WRITE: return PyLong_FromLong(WANTS_WRITE);
        case MBEDTLS_ERR_SSL_CONN_EOF:
        case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY: return PyBytes_FromStringAndSize(NULL, 0);
        default: return failed(self, code);
        }
    }
}

static PyObject *write_some(Session *self, PyObject *argument)
{
    Py_buffer view;
    if (PyObject_GetBuffer(argument, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    errno = 0;
    int code = mbedtls_ssl_write(&self->ssl, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    if (code >= 0)
        return PyLong_FromLong(code);
    switch (code) {
    case MBEDTLS_ERR_SSL_WANT_READ: return PyLong_FromLong(-WANTS_READ);
    case MBEDTLS_ERR_SSL_WANT_WRITE: return PyLong_FromLong(-WANTS_WRITE);
    default: return failed(self, code);
    }
}

static void forget(Session *self)
{
    mbedtls_ssl_free(&self->ssl);
    mbedtls_ssl_config_free(&self->config);
    mbedtls_x509_crt_free(&self->authorities);
    mbedtls_ctr_drbg_free(&self->random);
    mbedtls_entropy_free(&self->entropy);
    PyObject_Free(self);
}

static int set_up(Session *self, const char *name, const unsigned char *pem, size_t size, int insecure)
{
    int code;
    if ((code = mbedtls_ctr_drbg_seed(&self->random, mbedtls_entropy_func, &self->entropy, NULL, 0)) ||
        (code = mbedtls_ssl_config_defaults(&self->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                            MBEDTLS_SSL_PRESET_DEFAULT)))
        return code;
    mbedtls_ssl_conf_rng(&self->config, mbedtls_ctr_drbg_random, &self->random);
    mbedtls_ssl_conf_authmode(&self->config, insecure ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_REQUIRED);
    if (!insecure) {
        /* More than 0: that many certificates of the file are of a kind we do not know. The others count. */
        if (size && (code = mbedtls_x509_crt_parse(&self->authorities, pem, size)) < 0)
            return code;
        mbedtls_ssl_conf_ca_chain(&self->config, &self->authorities, NULL);
    }
    if (self->alpn[0] && (code = mbedtls_ssl_conf_alpn_protocols(&self->config, self->protocols)))
        return code;
    if ((code = mbedtls_ssl_setup(&self->ssl, &self->config)) || (code = mbedtls_ssl_set_hostname(&self->ssl, name)))
        return code;
    mbedtls_ssl_set_bio(&self->ssl, self, send_some, receive_some, NULL);
    return 0;
}

static PyObject *wrap(PyObject *Py_UNUSED(module), PyObject *args)
{
    int fd, insecure;
    const char *name, *pem, *alpn = "";
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "iyz#i|y:wrap", &fd, &name, &pem, &size, &insecure, &alpn))
        return NULL;
    if (psa_crypto_init() != PSA_SUCCESS) {
        PyErr_SetString(PyExc_OSError, "no random numbers: mbedTLS could not start");
        return NULL;
    }
    Session *self = PyObject_New(Session, &SessionType);
    if (!self)
        return NULL;
    self->fd = fd;
    strncpy(self->alpn, alpn, sizeof self->alpn - 1);
    self->alpn[sizeof self->alpn - 1] = '\0';
    self->protocols[0] = self->alpn;
    self->protocols[1] = NULL;
    mbedtls_ssl_init(&self->ssl);
    mbedtls_ssl_config_init(&self->config);
    mbedtls_x509_crt_init(&self->authorities);
    mbedtls_ctr_drbg_init(&self->random);
    mbedtls_entropy_init(&self->entropy);
    const unsigned char *authorities = pem ? (const unsigned char *)pem : ca_bundle;
    /* PyArg's buffer ends with a NUL that `size` does not count; PEM wants it counted. */
    int code = set_up(self, name, authorities, pem ? (size_t)size + 1 : ca_bundle_size, insecure);
    if (code) {
        failed(self, code);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyMethodDef session_methods[] = {
    {"handshake", (PyCFunction)handshake, METH_NOARGS, NULL},
    {"read", (PyCFunction)read_some, METH_O, NULL},
    {"write", (PyCFunction)write_some, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject SessionType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "_tls.Session",
    .tp_basicsize = sizeof(Session),
    .tp_dealloc = (destructor)forget,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_methods = session_methods,
};

static int prepare(PyObject *module)
{
    if (PyType_Ready(&SessionType) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "BUNDLE", ca_bundle_size ? Py_True : Py_False);
}

static PyMethodDef module_methods[] = {
    {"wrap", wrap, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepare},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_tls",
    .m_methods = module_methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__tls(void);

PyMODINIT_FUNC PyInit__tls(void)
{
    return PyModuleDef_Init(&definition);
}
