/* Prints libunistring's tables in the form of compact.h, after asking both about every character. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compact.h"
#include "uninorm.h"
#include "unictype.h"

enum { CHARACTERS = 0x110000 };

static uint32_t runs[8192];
static uint64_t pairs[8192];

static int script(ucs4_t character)
{
    static const char *const names[] = {"Greek", "Hebrew", "Hiragana", "Katakana", "Han"};
    const uc_script_t *found = uc_script(character);
    for (int index = 0; found && index < 5; index++)
        if (!strcmp(found->name, names[index]))
            return index + 1;
    return 0;
}

static int mark(ucs4_t character)
{
    return uc_is_general_category(character, UC_CATEGORY_M);
}

static void check(int good, const char *what, ucs4_t character)
{
    if (!good) {
        fprintf(stderr, "%s of U+%04X is lost\n", what, (unsigned)character);
        exit(1);
    }
}

static void print_runs(const char *name, int (*of)(ucs4_t))
{
    size_t count = 0;
    for (ucs4_t character = 0; character < CHARACTERS; character++) {
        int value = of(character);
        check(value >= 0 && value <= 0xff, name, character);
        if (!count || (runs[count - 1] & 0xff) != (uint32_t)value) {
            check(count < sizeof runs / sizeof *runs, name, character);
            runs[count++] = RUN(character, value);
        }
    }
    for (ucs4_t character = 0; character < CHARACTERS; character++)
        check(property(runs, count, character) == of(character), name, character);
    printf("static const uint32_t %s[] = {", name);
    for (size_t index = 0; index < count; index++)
        printf("%s0x%x,", index % 10 ? " " : "\n    ", (unsigned)runs[index]);
    printf("\n};\n");
}

static void print_pairs(void)
{
    size_t count = 0;
    ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH] = {0}, mine[2];
    for (ucs4_t character = 0; character < CHARACTERS; character++) {
        int length = uc_canonical_decomposition(character, parts);
        if (length < 0 || (character >= HANGUL && character < HANGUL + LEADINGS * VOWELS * TRAILINGS))
            continue;
        check(length <= 2 && count < sizeof pairs / sizeof *pairs, "the decomposition", character);
        if (length == 1)
            parts[1] = 0;
        int joins = length == 2 && uc_composition(parts[0], parts[1]) == character;
        pairs[count++] = PAIR(character, parts[0], parts[1], joins);
    }
    for (ucs4_t character = 0; character < CHARACTERS; character++) {
        int length = uc_canonical_decomposition(character, parts);
        check(decompose(pairs, count, character, mine) == length, "the decomposition", character);
        for (int index = 0; index < length; index++)
            check(parts[index] == mine[index], "the decomposition", character);
        if (length == 2)
            check(compose(pairs, count, parts[0], parts[1]) == uc_composition(parts[0], parts[1]), "the composition",
                  character);
    }
    printf("static const uint64_t canonical[] = {");
    for (size_t index = 0; index < count; index++)
        printf("%s0x%llx,", index % 5 ? " " : "\n    ", (unsigned long long)pairs[index]);
    printf("\n};\n");
}

int main(void)
{
    print_runs("bidi_classes", uc_bidi_class);
    print_runs("combining_classes", uc_combining_class);
    print_runs("joining_types", uc_joining_type);
    print_runs("scripts", script);
    print_runs("marks", mark);
    print_pairs();
    return 0;
}
