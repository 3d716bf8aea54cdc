#include "build.h"

#include <stddef.h>

#define WORDS_OF(name) #name
#define WORDS(name) WORDS_OF(name)

const char *moetop_commit(void) {
#ifdef MOETOP_COMMIT
    return WORDS(MOETOP_COMMIT);
#else
    return NULL;
#endif
}
