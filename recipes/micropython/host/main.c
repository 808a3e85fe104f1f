/* MicroPython on the building machine, by two names:
 *   mpy-cross [-O3] -o OUT [-s NAME] FILE.py compiles, as upstream's mpy-cross does
 *   micropython SCRIPT.py [WORD ...]         runs; the script's own directory is where it imports from
 * Files can be read, whole; what print() prints is the only thing written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "py/builtin.h"
#include "py/compile.h"
#include "py/gc.h"
#include "py/objlist.h"
#include "py/objstringio.h"
#include "py/persistentcode.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/runtime/gchelper.h"

enum { HEAP = 256 << 20, STACK = 6 << 20 };

/* What print() calls: as it is, without a carriage return before each line's end. */
void mp_hal_stdout_tx_strn_cooked(const char *text, size_t size)
{
    fwrite(text, 1, size, stdout);
}

static void print_to(void *file, const char *text, size_t size)
{
    fwrite(text, 1, size, file);
}

static FILE *open_or_raise(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file)
        mp_raise_OSError_with_filename(errno, path);
    return file;
}

/* open(path, mode="r"): the whole file, as a StringIO or BytesIO; reading is all that it is for. */
static mp_obj_t open_whole(size_t count, const mp_obj_t *words, mp_map_t *more)
{
    (void)more;
    FILE *file = open_or_raise(mp_obj_str_get_str(words[0]), "rb");
    vstr_t data;
    vstr_init(&data, 1 << 16);
    char part[1 << 14];
    size_t got;
    while ((got = fread(part, 1, sizeof part, file)))
        vstr_add_strn(&data, part, got);
    fclose(file);
    bool binary = count > 1 && strchr(mp_obj_str_get_str(words[1]), 'b');
    mp_obj_t content = binary ? mp_obj_new_bytes_from_vstr(&data) : mp_obj_new_str_from_vstr(&data);
    const mp_obj_type_t *type = binary ? &mp_type_bytesio : &mp_type_stringio;
    return mp_call_function_1(MP_OBJ_FROM_PTR(type), content);
}
MP_DEFINE_CONST_FUN_OBJ_KW(mp_builtin_open_obj, 1, open_whole);

static void compile_file(const char *file, const char *out, const char *name)
{
    mp_lexer_t *lexer = mp_lexer_new_from_file(qstr_from_str(file));
    qstr source = qstr_from_str(name ? name : file);
    mp_parse_tree_t tree = mp_parse(lexer, MP_PARSE_FILE_INPUT);
    mp_compiled_module_t made = {.context = m_new_obj(mp_module_context_t)};
    mp_compile_to_raw_code(&tree, source, false, &made);
    FILE *target = open_or_raise(out, "wb");
    mp_print_t printer = {target, print_to};
    mp_raw_code_save(&made, &printer);
    if (fclose(target))
        mp_raise_OSError_with_filename(errno, out);
}

static void run_file(const char *file)
{
    mp_lexer_t *lexer = mp_lexer_new_from_file(qstr_from_str(file));
    qstr source = lexer->source_name;
    mp_parse_tree_t tree = mp_parse(lexer, MP_PARSE_FILE_INPUT);
    mp_call_function_0(mp_compile(&tree, source, false));
}

static MP_NOINLINE int work(int count, char **words)
{
    mp_dynamic_compiler.small_int_bits = 31; /* what every target has */
    mp_dynamic_compiler.native_arch = MP_NATIVE_ARCH_NONE;
    const char *program = strrchr(words[0], '/');
    nlr_buf_t nlr;
    if (nlr_push(&nlr)) {
        mp_print_t printer = {stderr, print_to};
        if (mp_obj_is_exact_type(MP_OBJ_FROM_PTR(nlr.ret_val), &mp_type_SystemExit)) {
            mp_obj_t value = mp_obj_exception_get_value(MP_OBJ_FROM_PTR(nlr.ret_val));
            mp_int_t code = 1;
            fflush(stdout);
            return value == mp_const_none ? 0 : mp_obj_get_int_maybe(value, &code) ? (int)code : 1;
        }
        mp_obj_print_exception(&printer, MP_OBJ_FROM_PTR(nlr.ret_val));
        return 1;
    }
    if (!strcmp(program ? program + 1 : words[0], "mpy-cross")) {
        const char *file = NULL, *out = NULL, *name = NULL;
        for (int at = 1; at < count; at++) {
            if (!strcmp(words[at], "-o") && at + 1 < count)
                out = words[++at];
            else if (!strcmp(words[at], "-s") && at + 1 < count)
                name = words[++at];
            else if (!strcmp(words[at], "-O3"))
                MP_STATE_VM(mp_optimise_value) = 3; /* no numbers of lines, no assertions */
            else
                file = words[at];
        }
        if (!file || !out) {
            fputs("usage: mpy-cross [-O3] -o OUT [-s NAME] FILE.py\n", stderr);
            return 2;
        }
        compile_file(file, out, name);
    } else if (count < 2) {
        fputs("usage: micropython SCRIPT.py [WORD ...]\n", stderr);
        return 2;
    } else {
        const char *end = strrchr(words[1], '/');
        mp_obj_t directory = end ? mp_obj_new_str(words[1], end - words[1]) : mp_obj_new_str(".", 1);
        mp_obj_list_append(mp_sys_path, directory);
        for (int at = 1; at < count; at++)
            mp_obj_list_append(mp_sys_argv, mp_obj_new_str(words[at], strlen(words[at])));
        run_file(words[1]);
    }
    nlr_pop();
    return fflush(stdout) ? 1 : 0;
}

int main(int count, char **words)
{
    mp_stack_ctrl_init();
    mp_stack_set_limit(STACK);
    char *heap = malloc(HEAP);
    if (!heap)
        return 1;
    gc_init(heap, heap + HEAP);
    mp_init();
    return work(count, words);
}

void gc_collect(void)
{
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

mp_import_stat_t mp_import_stat(const char *path)
{
    struct stat status;
    if (stat(path, &status))
        return MP_IMPORT_STAT_NO_EXIST;
    return S_ISDIR(status.st_mode) ? MP_IMPORT_STAT_DIR : MP_IMPORT_STAT_FILE;
}

void nlr_jump_fail(void *value)
{
    (void)value;
    fputs("an exception that nobody caught\n", stderr);
    exit(1);
}
