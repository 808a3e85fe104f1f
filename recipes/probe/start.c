/* The start of the frozen probe: an interpreter without importlib, io, encodings and site, a handful of built-in modules,
 * one code object. Nothing of the machine is read: no file, no environment variable, no locale.
 * https://docs.python.org/3/c-api/init_config.html */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <marshal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "pycore_codecs.h"
#include "pycore_import.h"

#include "end.h"
#include "support.h" /* `frozen`: what Nuitka's runtime imports */

PyMODINIT_FUNC PyInit_probe_main(void);

PyMODINIT_FUNC PyInit__imp(void);
PyMODINIT_FUNC PyInit__socket(void);
PyMODINIT_FUNC PyInit_errno(void);
PyMODINIT_FUNC PyInit_gc(void);
PyMODINIT_FUNC PyInit_posix(void);
PyMODINIT_FUNC PyInit_select(void);
PyMODINIT_FUNC PyInit_time(void);
PyMODINIT_FUNC PyMarshal_Init(void);
PyMODINIT_FUNC _PyWarnings_Init(void);
PyMODINIT_FUNC PyInit__digest(void);
PyMODINIT_FUNC PyInit__tls(void);

/* What the interpreter asks for by itself while it starts. */
struct _inittab _PyImport_Inittab[] = {
    {"marshal", PyMarshal_Init}, {"_imp", PyInit__imp},          {"builtins", NULL}, {"sys", NULL},
    {"gc", PyInit_gc},           {"_warnings", _PyWarnings_Init}, {NULL, NULL},
};
static const struct _frozen no_modules[] = {{NULL, NULL, 0, false}};
static const struct _module_alias no_aliases[] = {{NULL, NULL}};
const struct _frozen *_PyImport_FrozenBootstrap = no_modules;
const struct _frozen *_PyImport_FrozenStdlib = no_modules;
const struct _frozen *_PyImport_FrozenTest = no_modules;
const struct _frozen *PyImport_FrozenModules = NULL;
const struct _module_alias *_PyImport_FrozenAliases = no_aliases;

/* What the probe imports: put into sys.modules, where its import statements find them. */
static const struct {
    const char *name;
    PyObject *(*init)(void);
} modules[] = {
    {"errno", PyInit_errno}, {"posix", PyInit_posix}, {"time", PyInit_time}, {"_socket", PyInit__socket},
    {"select", PyInit_select}, {"_digest", PyInit__digest}, {"_tls", PyInit__tls},
};

static void check(PyStatus status)
{
    if (PyStatus_Exception(status))
        fail(status.err_msg ? status.err_msg : "Python did not start");
}

/* The second half of what importlib does for a built-in module; a spec is anything that has a name. */
static void add_module(const char *name, PyObject *(*init)(void), PyObject *spec)
{
    PyObject *module = init();
    if (module && PyObject_TypeCheck(module, &PyModuleDef_Type)) {
        PyModuleDef *definition = (PyModuleDef *)module;
        PyObject *text = PyUnicode_FromString(name);
        if (!text || PyObject_SetAttrString(spec, "name", text) < 0)
            fail(name);
        module = PyModule_FromDefAndSpec(definition, spec);
        if (!module || PyModule_ExecDef(module, definition) < 0)
            fail(name);
    }
    if (!module || PyDict_SetItemString(PyImport_GetModuleDict(), name, module) < 0)
        fail(name);
}

static void fail_with_error(void)
{
    PyObject *error = PyErr_GetRaisedException();
    fail(error ? Py_TYPE(error)->tp_name : "it came to no end");
}

/* Run `frozen` with these names. */
static void run(PyObject *names)
{
    PyObject *code = PyMarshal_ReadObjectFromString((const char *)frozen, sizeof frozen);
    if (!code || PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) < 0 ||
        !PyEval_EvalCode(code, names, names))
        fail_with_error();
}

/* Nuitka's runtime asks which file it was loaded from. From none: https://man7.org/linux/man-pages/man3/dladdr.3.html */
typedef struct {
    const char *dli_fname;
    void *dli_fbase;
    const char *dli_sname;
    void *dli_saddr;
} Where;

int fromscratch_dladdr(const void *address, Where *where);

int fromscratch_dladdr(const void *address, Where *where)
{
    (void)address;
    where->dli_fname = "/probe";
    return 1;
}

int main(int argc, char **argv)
{
    prepare_end();

    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    before.configure_locale = 0;
    check(Py_PreInitialize(&before));

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config._install_importlib = 0;
    config.install_signal_handlers = 0;
    config.module_search_paths_set = 1;
    config.site_import = 0;
    config.use_hash_seed = 1; /* no dictionary of ours outlives one check */
    config.hash_seed = 0;
    check(Py_InitializeFromConfig(&config));
    PyGC_Disable(); /* what one check leaves in circles is less than looking for it costs */

    /* Without importlib the handlers of coding errors are left out, and the first bytes that are no UTF-8 would be the end.
     * They want a module that has nothing for us. */
    if (!PyImport_AddModule("encodings"))
        fail("its runtime has no modules");
    check(_PyCodec_InitRegistry(PyInterpreterState_Get()));

    PyObject *spec = PyImport_AddModule("spec");
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        add_module(modules[i].name, modules[i].init, spec);

    PyObject *words = PyList_New(argc);
    for (int i = 0; i < argc; i++) {
        PyObject *word = PyUnicode_DecodeUTF8(argv[i], (Py_ssize_t)strlen(argv[i]), "surrogateescape");
        if (!word)
            fail("a word of the command line cannot be decoded");
        PyList_SET_ITEM(words, i, word);
    }
    PySys_SetObject("argv", words);

    PyObject *support = PyImport_AddModule("os");
    PyObject *posix = PyDict_GetItemString(PyImport_GetModuleDict(), "posix");
    if (!support || PyDict_Update(PyModule_GetDict(support), PyModule_GetDict(posix)) < 0)
        fail("its runtime has no modules");
    run(PyModule_GetDict(support));
    add_module("probe_main", PyInit_probe_main, spec);
    PyObject *program = PyDict_GetItemString(PyImport_GetModuleDict(), "probe_main");
    PyObject *entry = PyObject_GetAttrString(program, "main");
    PyObject *code = entry ? PyObject_CallNoArgs(entry) : NULL;
    if (code && PyLong_CheckExact(code))
        _exit(PyLong_AsLong(code) == 0 ? 0 : 1);
    fail_with_error();
}
