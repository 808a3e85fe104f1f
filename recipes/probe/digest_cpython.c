/* digest.c, for CPython: the module `_digest`, which probe/system.py calls, and says what each function is for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>

#include "digest.h"

static PyObject *digest(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned char made[LARGEST_DIGEST];
    const char *name;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "sy*:digest", &name, &data))
        return NULL;
    size_t size = make_digest(name, data.buf, (size_t)data.len, made);
    PyBuffer_Release(&data);
    if (!size) {
        errno = EINVAL;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyBytes_FromStringAndSize((char *)made, (Py_ssize_t)size);
}

static PyObject *hmac_rounds(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned char made[2 * LARGEST_DIGEST];
    Py_buffer key, data;
    long rounds;
    if (!PyArg_ParseTuple(args, "y*y*l:hmac_rounds", &key, &data, &rounds))
        return NULL;
    repeat_hmac(key.buf, (size_t)key.len, data.buf, (size_t)data.len, rounds < 0 ? 0 : (unsigned long)rounds, made);
    PyBuffer_Release(&key);
    PyBuffer_Release(&data);
    return PyBytes_FromStringAndSize((char *)made, sizeof made);
}

static PyMethodDef methods[] = {
    {"digest", digest, METH_VARARGS, NULL},
    {"hmac_rounds", hmac_rounds, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_digest", .m_methods = methods};

PyMODINIT_FUNC PyInit__digest(void);

PyMODINIT_FUNC PyInit__digest(void)
{
    return PyModuleDef_Init(&definition);
}
