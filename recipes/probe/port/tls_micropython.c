/* tls.c, for MicroPython. */
#include "tls_micropython.h"

#include <errno.h>
#include <string.h>

#include "py/runtime.h"

#include "tls.h"

enum { LONGEST_READ = 16384 };

typedef struct session {
    mp_obj_base_t base;
    struct session *next;
    struct tls *tls; /* malloc's: the garbage collector does not look there. NULL: closed */
    int descriptor;
} Session;

/* Those that are open, so that closing a socket finds its own. */
MP_REGISTER_ROOT_POINTER(struct session *sessions);

void tls_forget(int descriptor)
{
    for (Session **at = &MP_STATE_PORT(sessions); *at; at = &(*at)->next)
        if ((*at)->descriptor == descriptor) {
            tls_free((*at)->tls);
            (*at)->tls = NULL;
            *at = (*at)->next;
            return;
        }
}

static MP_NORETURN void raise_reason(const struct tls_reason *reason)
{
    if (reason->error)
        mp_raise_OSError(reason->error);
    nlr_raise(mp_obj_new_exception_arg1(&mp_type_ValueError, mp_obj_new_str(reason->text, strlen(reason->text))));
}

static struct tls *open_one(mp_obj_t object)
{
    struct tls *tls = ((Session *)MP_OBJ_TO_PTR(object))->tls;
    if (!tls)
        mp_raise_OSError(EBADF);
    return tls;
}

static mp_obj_t handshake(mp_obj_t self)
{
    struct tls_reason reason;
    int result = tls_handshake(open_one(self), &reason);
    if (result == TLS_FAILED)
        raise_reason(&reason);
    return MP_OBJ_NEW_SMALL_INT(-result);
}
static MP_DEFINE_CONST_FUN_OBJ_1(handshake_object, handshake);

static mp_obj_t read_some(mp_obj_t self, mp_obj_t size)
{
    static char data[LONGEST_READ];
    struct tls_reason reason;
    mp_int_t most = mp_obj_get_int(size);
    ptrdiff_t got = tls_read(open_one(self), data, most > 0 && most < LONGEST_READ ? most : LONGEST_READ, &reason);
    if (got == TLS_FAILED)
        raise_reason(&reason);
    return got < 0 ? MP_OBJ_NEW_SMALL_INT(-got) : mp_obj_new_bytes((byte *)data, got);
}
static MP_DEFINE_CONST_FUN_OBJ_2(read_object, read_some);

static mp_obj_t write_some(mp_obj_t self, mp_obj_t data)
{
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(data, &buffer, MP_BUFFER_READ);
    struct tls_reason reason;
    ptrdiff_t sent = tls_write(open_one(self), buffer.buf, buffer.len, &reason);
    if (sent == TLS_FAILED)
        raise_reason(&reason);
    return MP_OBJ_NEW_SMALL_INT(sent);
}
static MP_DEFINE_CONST_FUN_OBJ_2(write_object, write_some);

static const mp_rom_map_elem_t names[] = {
    {MP_ROM_QSTR(MP_QSTR_handshake), MP_ROM_PTR(&handshake_object)},
    {MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&read_object)},
    {MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&write_object)},
};
static MP_DEFINE_CONST_DICT(session_names, names);
static MP_DEFINE_CONST_OBJ_TYPE(session_type, MP_QSTR_TlsSession, MP_TYPE_FLAG_NONE, locals_dict, &session_names);

/* A NUL follows the bytes of every object; PEM wants it counted. */
static struct tls_pem pem_of(mp_obj_t object)
{
    size_t size;
    const char *data = mp_obj_str_get_data(object, &size);
    return (struct tls_pem){(const unsigned char *)data, size ? size + 1 : 0};
}

static mp_obj_t open_session(size_t count, const mp_obj_t *words)
{
    (void)count;
    struct tls_wish wish = {
        .descriptor = mp_obj_get_int(words[0]),
        .name = mp_obj_str_get_str(words[1]),
        .authorities = pem_of(words[2]),
        .insecure = mp_obj_is_true(words[3]),
        .protocol = mp_obj_str_get_str(words[4]),
        .certificate = pem_of(words[5]),
        .key = pem_of(words[6]),
    };
    Session *session = mp_obj_malloc(Session, &session_type);
    struct tls_reason reason;
    session->descriptor = wish.descriptor;
    session->tls = tls_open(&wish, &reason);
    if (!session->tls)
        raise_reason(&reason);
    session->next = MP_STATE_PORT(sessions);
    MP_STATE_PORT(sessions) = session;
    return MP_OBJ_FROM_PTR(session);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(tls_open_object, 7, 7, open_session);
