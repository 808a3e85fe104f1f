/* What the rest of CPython calls of the parts that a frozen program is linked without: the compiler, the parser, tracing,
 * faulthandler, perf. Whatever would need them raises RuntimeError. */
#define NEED_OPCODE_METADATA
#include "Python.h"
#include "pycore_opcode_metadata.h"
#include "pycore_initconfig.h"
#include "pycore_importdl.h"
static void *none(void) { PyErr_SetString(PyExc_RuntimeError, "no compiler in here"); return NULL; }
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute) { (void)config; (void)compute; return PyStatus_Ok(); }
PyStatus _PyFaulthandler_Init(int enable) { (void)enable; return PyStatus_Ok(); }
PyStatus _PyTraceMalloc_Init(void) { return PyStatus_Ok(); }
int _PyTraceMalloc_Start(int n) { (void)n; return 0; }
void _PyMem_DumpTraceback(int fd, const void *ptr) { (void)fd; (void)ptr; }
int PyAST_Check(PyObject *o) { (void)o; return 0; }
void *PyAST_mod2obj(void *t) { (void)t; return none(); }
void *PyAST_obj2mod(void *a, void *b, int c) { (void)a; (void)b; (void)c; return none(); }
int PyCompile_OpcodeStackEffect(int a, int b) { (void)a; (void)b; return PY_INVALID_STACK_EFFECT; }
char *PyOS_Readline(FILE *a, FILE *b, const char *c) { (void)a; (void)b; (void)c; return none(); }
void *_PyAST_Compile(void) { return none(); }
int _PyAST_Validate(void *m) { (void)m; none(); return 0; }
int _PyCompile_AstOptimize(void) { none(); return -1; }
int _PyEval_SetOpcodeTrace(void *f, bool e) { (void)f; (void)e; return 0; }
const char *_PyImport_DynLoadFiletab[] = {NULL};
dl_funcptr _PyImport_FindSharedFuncptr(const char *a, const char *b, const char *c, FILE *d) { (void)a; (void)b; (void)c; (void)d; return NULL; }
void *_PyParser_ASTFromString(void) { return none(); }
PyObject *_Py_Mangle(PyObject *p, PyObject *name) { (void)p; return Py_NewRef(name); }
#define NOTHING(name) void name(void) { }
NOTHING(_PyFaulthandler_Fini) NOTHING(_PyPerfTrampoline_Fini) NOTHING(_PyTraceMalloc_Stop) NOTHING(_PyTraceMalloc_Fini) NOTHING(_PyAST_Fini)
#define ZERO(name) int name(void) { return 0; }
ZERO(_PyEval_SetProfile) ZERO(_PyEval_SetProfileAllThreads) ZERO(_PyEval_SetTrace) ZERO(_PyEval_SetTraceAllThreads) ZERO(_PyPerfTrampoline_Init) ZERO(_PyPerfTrampoline_AfterFork_Child)
void *_PyParser_InteractiveASTFromFile(void) { return none(); }
void *_PyParser_ASTFromFile(void) { return none(); }
char *_PyTokenizer_FindEncodingFilename(int fd, PyObject *f) { (void)fd; (void)f; return NULL; }
int (*PyOS_InputHook)(void) = NULL;
#define TYPE(name) PyTypeObject name = { PyVarObject_HEAD_INIT(NULL, 0) .tp_name = #name, .tp_basicsize = sizeof(PyObject), .tp_flags = Py_TPFLAGS_DEFAULT };
TYPE(PySTEntry_Type) TYPE(_PyInstructionSequence_Type) TYPE(_PyLegacyEventHandler_Type)
