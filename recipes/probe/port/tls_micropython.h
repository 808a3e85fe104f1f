#ifndef TLS_MICROPYTHON_H
#define TLS_MICROPYTHON_H

#include "py/obj.h"

/* system.open_tls(), as probe/system.py has it. */
extern const mp_obj_fun_builtin_var_t tls_open_object;

/* The socket is being closed: so is the session on it. There is no finaliser that would do it. */
void tls_forget(int descriptor);

#endif
