/* tls.c, for CPython: the module `_tls`, which probe/system.py calls.
 *
 *   wrap(fd, name, authorities, insecure, protocol, certificate=None, key=None) -> session
 *   session.handshake() -> 0 done, 1 wants to read, 2 wants to write
 *   session.read(size)  -> bytes (b"" at the end), or 1 or 2 as above
 *   session.write(data) -> count of bytes, or -1 wants to read, -2 wants to write
 *   BUNDLE              -> True when trust anchors are built in
 *
 * Failures are ValueError (certificates, protocol) or OSError (the socket, memory). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>

#include "tls.h"

enum { LONGEST_READ = 16384 };

typedef struct {
    PyObject_HEAD
    struct tls *tls;
} Session;

static PyTypeObject SessionType;

static PyObject *raise_reason(const struct tls_reason *reason)
{
    if (reason->error) {
        errno = reason->error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyErr_SetString(PyExc_ValueError, reason->text);
    return NULL;
}

static PyObject *handshake(Session *self, PyObject *Py_UNUSED(none))
{
    struct tls_reason reason;
    int result = tls_handshake(self->tls, &reason);
    return result == TLS_FAILED ? raise_reason(&reason) : PyLong_FromLong(-result);
}

static PyObject *read_some(Session *self, PyObject *argument)
{
    char data[LONGEST_READ];
    struct tls_reason reason;
    size_t size = PyLong_AsSize_t(argument);
    if (PyErr_Occurred())
        return NULL;
    ptrdiff_t got = tls_read(self->tls, data, size < sizeof data ? size : sizeof data, &reason);
    if (got == TLS_FAILED)
        return raise_reason(&reason);
    return got < 0 ? PyLong_FromLong(-got) : PyBytes_FromStringAndSize(data, got);
}

static PyObject *write_some(Session *self, PyObject *argument)
{
    Py_buffer view;
    struct tls_reason reason;
    if (PyObject_GetBuffer(argument, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    ptrdiff_t sent = tls_write(self->tls, view.buf, (size_t)view.len, &reason);
    PyBuffer_Release(&view);
    return sent == TLS_FAILED ? raise_reason(&reason) : PyLong_FromSsize_t(sent);
}

static void forget(Session *self)
{
    tls_free(self->tls);
    PyObject_Free(self);
}

/* Python's bytes end with a NUL that their size does not count; PEM wants it counted. */
static struct tls_pem pem_of(const char *data, Py_ssize_t size)
{
    return (struct tls_pem){(const unsigned char *)data, size ? (size_t)size + 1 : 0};
}

static PyObject *wrap(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct tls_wish wish = {.protocol = ""};
    const char *authorities, *certificate = NULL, *key = NULL;
    Py_ssize_t authorities_size, certificate_size = 0, key_size = 0;
    int insecure;
    if (!PyArg_ParseTuple(args, "iyz#i|yz#z#:wrap", &wish.descriptor, &wish.name, &authorities, &authorities_size,
                          &insecure, &wish.protocol, &certificate, &certificate_size, &key, &key_size))
        return NULL;
    wish.insecure = insecure;
    wish.authorities = pem_of(authorities, authorities_size);
    wish.certificate = pem_of(certificate, certificate_size);
    wish.key = pem_of(key, key_size);
    struct tls_reason reason;
    struct tls *tls = tls_open(&wish, &reason);
    if (!tls)
        return raise_reason(&reason);
    Session *self = PyObject_New(Session, &SessionType);
    if (self)
        self->tls = tls;
    else
        tls_free(tls);
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
    return PyModule_AddObjectRef(module, "BUNDLE", tls_has_anchors() ? Py_True : Py_False);
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
