/* In the place of libunistring's own tables, which are several times as large: those of tables.c. */
#include "compact.h"
#include "tables.h"
#include "uninorm.h"
#include "unictype.h"

#define LENGTH(table) (sizeof(table) / sizeof *(table))

const uc_general_category_t UC_CATEGORY_M;

int uc_bidi_category(ucs4_t character)
{
    return property(bidi_classes, LENGTH(bidi_classes), character);
}

int uc_combining_class(ucs4_t character)
{
    return property(combining_classes, LENGTH(combining_classes), character);
}

int uc_joining_type(ucs4_t character)
{
    return property(joining_types, LENGTH(joining_types), character);
}

/* Only the scripts that IDNA has rules for. */
const uc_script_t *uc_script(ucs4_t character)
{
    static const uc_script_t known[] = {
        {.name = "Greek"}, {.name = "Hebrew"}, {.name = "Hiragana"}, {.name = "Katakana"}, {.name = "Han"}};
    int found = property(scripts, LENGTH(scripts), character);
    return found ? &known[found - 1] : NULL;
}

/* Only marks are asked for: no other category has a value to ask with. */
bool uc_is_general_category(ucs4_t character, uc_general_category_t category)
{
    (void)category;
    return property(marks, LENGTH(marks), character);
}

int uc_canonical_decomposition(ucs4_t character, ucs4_t *parts)
{
    return decompose(canonical, LENGTH(canonical), character, parts);
}

ucs4_t uc_composition(ucs4_t first, ucs4_t second)
{
    return compose(canonical, LENGTH(canonical), first, second);
}
